"""Image branches of OANet: AlexNet, VGG16, ResNet-18 and our student, each three stages of one described backbone.

AlexNet and VGG16 are sized for a part's crop of 64 to 128 px: a quarter of the channels, AlexNet's first convolution
5x5 with stride 2, no dense layers, pools of 3x3. They learn from the beginning, as ResNet-18 does without weights,
with batch norm that is folded afterwards. ResNet-18 with weights and the student are kept as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from engines.backbone import Backbone, BackboneSpec, Conv, Level, MaxPool, Weights
from engines.backbone_resnet import load_resnet18, resnet18_spec
from engines.backbone_student import load_student
from schemas.errors import InputError, SetupError

BRANCHES = ("student", "resnet18", "alexnet", "vgg16")
N_STAGES = 3
_STRIDES_PX = (4, 8, 16)
"""Of the student's stages."""
_ALEXNET = ((16, 5, 2), (48, 5, 1), (96, 3, 1), (64, 3, 1), (64, 3, 1))
"""Channels, kernel and stride of each convolution; pools follow the first, second and fifth."""
_VGG16 = ((16, 2), (32, 2), (64, 3), (128, 3), (128, 3))
"""Channels and convolutions of each block; a pool follows each block but the last."""


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A backbone whose levels are the stages. `weights`: kept as they are; None: learnt from the beginning."""

    name: str
    spec: BackboneSpec
    weights: Weights | None


def image_branch(name: str, weights: Path | None = None) -> Branch:
    """The branch called `name`; `weights` (.npz) are of ResNet-18 or the student.

    Raises: InputError for an unknown name, or weights for a branch that learns from the beginning.
    """
    if name == "student":
        student = load_student(weights)
        return Branch(name, replace(student.spec, levels=_last_of_each_stride(student)), student.weights)
    if name == "resnet18":
        return Branch(name, resnet18_spec(), None if weights is None else load_resnet18(weights).weights)
    if weights is not None and name in BRANCHES:
        raise InputError(f"the image branch {name} learns from the beginning; leave its weights {weights} out")
    if name == "alexnet":
        return Branch(name, _alexnet_spec(), None)
    if name == "vgg16":
        return Branch(name, _vgg16_spec(), None)
    raise InputError(f"image branch {name!r} is unknown; choose {', '.join(BRANCHES)}")


def _last_of_each_stride(backbone: Backbone) -> tuple[Level, ...]:
    """The last features, none below 0, at each of the strides 4, 8 and 16: richer than what is mixed from them."""
    stride_px, found = {"input": 1}, {}
    for layer in backbone.spec.layers:
        stride_px[layer.output] = stride_px[layer.source] * (2 if isinstance(layer, MaxPool) else layer.stride)
        if isinstance(layer, Conv) and layer.relu:
            channels = backbone.weights[f"{layer.weights}.weight"].shape[0]
            found[stride_px[layer.output]] = Level(layer.output, channels, stride_px[layer.output])
    try:
        return tuple(found[stride] for stride in _STRIDES_PX)
    except KeyError as exc:
        raise SetupError(f"backbone {backbone.spec.name} has no features at a stride of {exc} px for OANet") from exc


def _alexnet_spec() -> BackboneSpec:
    layers: list[Conv | MaxPool] = []
    source = "input"
    for number, (_, kernel, stride) in enumerate(_ALEXNET, 1):
        layers.append(Conv(f"conv{number}", source, f"conv{number}", kernel, stride))
        source = f"conv{number}"
        if number in (1, 2):
            layers.append(MaxPool(f"pool{number}", source))
            source = f"pool{number}"
    return BackboneSpec("alexnet", tuple(layers), (Level("conv2", 48, 4), Level("conv3", 96, 8), Level("conv5", 64, 8)))


def _vgg16_spec() -> BackboneSpec:
    layers: list[Conv | MaxPool] = []
    source = "input"
    for block, (_, n_convs) in enumerate(_VGG16, 1):
        for number in range(1, n_convs + 1):
            name = f"conv{block}_{number}"
            layers.append(Conv(name, source, name, 3))
            source = name
        if block < len(_VGG16):
            layers.append(MaxPool(f"pool{block}", source))
            source = f"pool{block}"
    levels = (Level("conv3_3", 64, 4), Level("conv4_3", 128, 8), Level("conv5_3", 128, 16))
    return BackboneSpec("vgg16", tuple(layers), levels)


def kernel_shapes(spec: BackboneSpec) -> dict[str, tuple[int, int, int, int]]:
    """Weights name -> (out, in, kernel, kernel) of a branch that learns from the beginning."""
    channels = _channels(spec)
    return {
        layer.weights: (channels[layer.output], channels[layer.source], layer.kernel, layer.kernel)
        for layer in spec.layers
        if isinstance(layer, Conv)
    }


def _channels(spec: BackboneSpec) -> dict[str, int]:
    """Channels of every tensor of `spec`, by name."""
    known = {"input": 3}
    for layer in spec.layers:
        known[layer.output] = known[layer.source] if isinstance(layer, MaxPool) else _width(spec.name, layer)
    return known


def _width(name: str, layer: Conv) -> int:
    """Channels that `layer` makes."""
    if name == "alexnet":
        return _ALEXNET[int(layer.output.removeprefix("conv")) - 1][0]
    if name == "vgg16":
        return _VGG16[int(layer.output[len("conv")]) - 1][0]
    return {"conv1": 64, "layer1": 64, "layer2": 128, "layer3": 256}[layer.weights.split(".")[0]]

"""ResNet-18 from conv1 to layer3, batch norm folded: the reference backbone, weights given or torchvision's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.backbone import Backbone, BackboneSpec, Conv, Level, MaxPool, check_weights
from schemas.errors import InputError, MissingExtra

_STAGES = ((1, 64, 1), (2, 128, 2), (3, 256, 2))


def resnet18_spec() -> BackboneSpec:
    """Stages 1 to 3 with torchvision's weight names; levels at strides 4, 8, 16 with 64, 128, 256 channels."""
    layers: list[Conv | MaxPool] = [Conv("stem", "input", "conv1", 7, 2), MaxPool("pool", "stem")]
    source = "pool"
    levels = []
    for stage, channels, first_stride in _STAGES:
        for block in range(2):
            prefix = f"layer{stage}.{block}"
            stride = first_stride if block == 0 else 1
            shortcut = source
            if stride != 1:
                shortcut = f"{prefix}.shortcut"
                layers.append(Conv(shortcut, source, f"{prefix}.downsample.0", 1, stride, relu=False))
            layers.append(Conv(f"{prefix}.inner", source, f"{prefix}.conv1", 3, stride))
            source = f"layer{stage}" if block == 1 else prefix
            layers.append(Conv(source, f"{prefix}.inner", f"{prefix}.conv2", 3, residual=shortcut))
        levels.append(Level(source, channels, 2 << stage))
    return BackboneSpec("resnet18", tuple(layers), tuple(levels))


def load_resnet18(weights: Path | None) -> Backbone:
    """The backbone with the arrays of `weights` (.npz: conv weight + bias, batch norm folded) or torchvision's.

    Raises: InputError when the file cannot be used; MissingExtra when there is neither file nor torchvision.
    """
    spec = resnet18_spec()
    if weights is None:
        return Backbone(spec, _torchvision_weights())
    try:
        with np.load(weights, allow_pickle=False) as arrays:
            loaded = {name: np.asarray(arrays[name], np.float32) for name in arrays.files}
        check_weights(spec, loaded, str(weights))
    except (OSError, ValueError) as exc:
        raise InputError(f"--weights {weights}: not ResNet-18 weights with batch norm folded: {exc}") from exc
    return Backbone(spec, loaded)


def _torchvision_weights() -> dict[str, NDArray[np.float32]]:
    """torchvision's ResNet18_Weights.IMAGENET1K_V1 (downloaded by torchvision), batch norm folded."""
    try:
        from torchvision.models import ResNet18_Weights, resnet18  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as exc:
        raise MissingExtra("torchvision", "train", "--backbone resnet18 without --weights FILE") from exc
    state = {
        name: value.numpy() for name, value in resnet18(weights=ResNet18_Weights.IMAGENET1K_V1).state_dict().items()
    }
    folded: dict[str, NDArray[np.float32]] = {}
    for name, kernel in state.items():
        if kernel.ndim != 4 or name.startswith("layer4"):
            continue
        conv = name.removesuffix(".weight")
        norm = conv.replace("downsample.0", "downsample.1").replace("conv", "bn")
        gain = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + 1e-5)
        folded[f"{conv}.weight"] = np.asarray(kernel * gain[:, None, None, None], np.float32)
        folded[f"{conv}.bias"] = np.asarray(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain, np.float32)
    return folded

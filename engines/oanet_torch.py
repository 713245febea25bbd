"""OANet in torch, for training: the twin of engines/oanet_graph.py. Needs the extra `train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.backbone import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, Conv, MaxPool
from engines.oanet import MOST_DEVIATION
from engines.oanet_branches import N_STAGES, kernel_shapes
from engines.training_device import TrainingDevice

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

_EPSILON = 1e-5
DROPPED = 0.5
"""Share of a stage's channels that a part lacks while they learn."""


class LearntBackbone:
    """Convolutions that learn from the beginning, each with batch norm."""

    def __init__(self, spec: BackboneSpec, seed: int, device: TrainingDevice = "cpu") -> None:
        import torch

        self.spec = spec
        shapes = kernel_shapes(spec)
        rng = np.random.default_rng(seed)
        self.kernels = {
            name: torch.from_numpy(rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)).to(device)
            for name, shape in shapes.items()
        }
        for kernel in self.kernels.values():
            kernel.requires_grad_()
        self._learning = True
        self.norms = {
            name: torch.nn.BatchNorm2d(shape[0], eps=_EPSILON, device=device) for name, shape in shapes.items()
        }

    def parameters(self) -> list[Any]:
        """What learns."""
        return [*self.kernels.values(), *(each for norm in self.norms.values() for each in norm.parameters())]

    def train(self, learning: bool) -> None:
        """Whether batch norm looks at the batch."""
        self._learning = learning
        for norm in self.norms.values():
            norm.train(learning)

    def maps(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """The stages' maps of `pictures` (N, 3, H, W) uint8 RGB, float32.

        While it learns, convolutions are in bfloat16 where the processor has it: twice as fast.
        """
        import torch

        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast(
            pictures.device.type, torch.bfloat16, enabled=self._learning and has_bfloat16(pictures.device)
        ):
            return [level.float() for level in self._levels(pictures)]

    def _levels(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        import torch
        from torch.nn import functional

        mean, std = (
            pictures.new_tensor(each, dtype=torch.float32).view(1, 3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD)
        )
        values = {"input": (pictures / 255 - mean) / std}
        for layer in self.spec.layers:
            source = values[layer.source]
            if isinstance(layer, MaxPool):
                values[layer.output] = functional.max_pool2d(source, 3, 2, 1)
                continue
            value = functional.conv2d(source, self.kernels[layer.weights], None, layer.stride, layer.kernel // 2)
            value = self.norms[layer.weights](value)
            if layer.residual is not None:
                value = value + values[layer.residual]
            values[layer.output] = functional.relu(value) if layer.relu else value
        return [values[level.name] for level in self.spec.levels]

    def folded(self) -> dict[str, NDArray[np.float32]]:
        """Weights with the batch norm in them, as engines/backbone.py wants them."""
        weights: dict[str, NDArray[np.float32]] = {}
        for layer in self.spec.layers:
            if not isinstance(layer, Conv):
                continue
            norm, kernel = self.norms[layer.weights], self.kernels[layer.weights].detach().cpu().numpy()
            assert norm.running_mean is not None and norm.running_var is not None
            gain = norm.weight.detach().cpu().numpy() / np.sqrt(norm.running_var.cpu().numpy() + _EPSILON)
            weights[f"{layer.weights}.weight"] = np.asarray(kernel * gain[:, None, None, None], np.float32)
            bias = norm.bias.detach().cpu().numpy() - norm.running_mean.cpu().numpy() * gain
            weights[f"{layer.weights}.bias"] = np.asarray(bias, np.float32)
        return weights


def told_by_place(tensors: Mapping[str, torch.Tensor], k: int, maps: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Stage `k`'s `maps` (N, C, h, w) in standard deviations from what good parts show at each place, float16.

    A place counts by the share of it that is `seen` (N, 1, h, w) float16: what is lost is no stranger.
    """
    off = (maps.float() - tensors[f"place{k}.mean"]) * tensors[f"place{k}.scale"]
    return off.clamp(-MOST_DEVIATION, MOST_DEVIATION).half() * seen


def image_stages(
    tensors: Mapping[str, torch.Tensor], maps: Sequence[torch.Tensor], rng: np.random.Generator | None = None
) -> list[torch.Tensor]:
    """(N, ALIGNED) a stage, from its maps (N, C, h, w): as they are, or float16 when told by place.

    Args: rng: given while it learns: of told maps each part then lacks half of the channels, drawn anew (spatial
        dropout: Tompson et al., Efficient Object Localization Using Convolutional Networks, 2015), and they are mixed
        in bfloat16 where the processor has it.
    """
    import torch
    from torch.nn import functional

    stages = []
    for k, level in enumerate(maps):
        weight, bias, seen = tensors[f"mix{k}.weight"][:, :, None, None], tensors[f"mix{k}.bias"], level
        if level.dtype == torch.float16:
            seen = level.bfloat16() if rng is not None and has_bfloat16(level.device) else level.float()
            seen = torch.cat((seen, seen.abs()), 1)
            seen = seen if rng is None else seen * _kept_channels(seen, rng)
        mixed = functional.conv2d(seen, weight.to(seen.dtype), bias.to(seen.dtype)).relu().float()
        pooled = torch.cat((mixed.mean((2, 3)), mixed.amax((2, 3))), 1)
        stages.append(_dense(tensors, f"image{k}", pooled))
    return stages


def _kept_channels(maps: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """(N, C, 1, 1): 0 where a channel of a part is dropped, else what makes up for it."""
    import torch

    kept = rng.random((*maps.shape[:2], 1, 1)) >= DROPPED
    return torch.from_numpy(kept).to(maps.device, maps.dtype) / (1 - DROPPED)


def has_bfloat16(device: torch.device) -> bool:
    """Whether this processor or GPU multiplies bfloat16 by itself; where it does not, float32 is faster."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def external_stages(
    tensors: Mapping[str, torch.Tensor], fields: torch.Tensor, missing: torch.Tensor
) -> list[torch.Tensor]:
    """(N, ALIGNED) a stage, from `fields` (N, F), finite, and `missing` (N, F) of 0 and 1."""
    import torch

    z = (fields - tensors["fields.mean"]) * tensors["fields.scale"] * (1 - missing)
    value, stages = torch.cat((z, missing), 1), []
    for k in range(N_STAGES):
        value = _dense(tensors, f"hidden{k}", value).relu()
        stages.append(_dense(tensors, f"external{k}", value))
    return stages


def single_logit(tensors: Mapping[str, torch.Tensor], which: str, stages: Sequence[torch.Tensor]) -> torch.Tensor:
    """(N,) log odds of a defect by one modality alone; `which`: image or external."""
    import torch

    return _dense(tensors, which, torch.cat(list(stages), 1).relu())[:, 0]


def embed(tensors: Mapping[str, torch.Tensor], image: Sequence[torch.Tensor]) -> torch.Tensor:
    """(N, REFINED * stages): each stage's principal components behind those of the stages before."""
    import torch

    refined = image[0].new_empty((len(image[0]), 0))
    for k, stage in enumerate(image):
        refined = torch.cat((refined, _dense(tensors, f"refine{k}", stage)), 1)
    return refined


def fused_logit(
    tensors: Mapping[str, torch.Tensor],
    embedding: torch.Tensor,
    image: Sequence[torch.Tensor],
    external: Sequence[torch.Tensor],
) -> torch.Tensor:
    """(N,) log odds of a defect by both: the embedding, then every stage as it is."""
    import torch

    stages = (stage.relu() for stage in (*image, *external))
    joint = _dense(tensors, "joint", torch.cat((embedding, *stages), 1)).relu()
    return _dense(tensors, "fused", joint)[:, 0]


def alignment_loss(image: Sequence[torch.Tensor], external: Sequence[torch.Tensor]) -> torch.Tensor:
    """Sum over stages of 1 - cos(image_k, external_k), mean over the batch."""
    import torch

    apart = [1 - torch.cosine_similarity(a, b, dim=1) for a, b in zip(image, external, strict=True)]
    return torch.stack(apart).sum(0).mean()


def _dense(tensors: Mapping[str, torch.Tensor], name: str, value: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    return functional.linear(value, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

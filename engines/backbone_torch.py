"""The torch twin of a described backbone: the same layers, for what learns or is learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.backbone import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, MaxPool

if TYPE_CHECKING:
    import torch


def forward(spec: BackboneSpec, weights: dict[str, torch.Tensor], pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    """Levels of `spec` on `pictures` (N, 3, H, W) float in [0, 255]; the torch twin of backbone.add_backbone."""
    values = all_outputs(spec, weights, pictures)
    return {level.name: values[level.name] for level in spec.levels}


def all_outputs(
    spec: BackboneSpec, weights: dict[str, torch.Tensor], pictures: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Every layer's output, and as ``<layer>.before`` what its ReLU gets."""
    import torch.nn.functional as nn

    mean = pictures.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = pictures.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    values = {"input": (pictures / 255 - mean) / std}
    for layer in spec.layers:
        source = values[layer.source]
        if isinstance(layer, MaxPool):
            values[layer.output] = nn.max_pool2d(source, 3, 2, 1)
            continue
        kernel, bias = weights[f"{layer.weights}.weight"], weights[f"{layer.weights}.bias"]
        value = nn.conv2d(source, kernel, bias, layer.stride, layer.kernel // 2)
        if layer.residual is not None:
            value = value + values[layer.residual]
        values[f"{layer.output}.before"] = value
        values[layer.output] = nn.relu(value) if layer.relu else value
    return values

"""What OANet takes from its training parts without learning: principal components, how fields spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.oanet import REFINED

if TYPE_CHECKING:
    import torch


def principal_components(values: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight (REFINED, d) and bias (REFINED,) that take `values` (n, d) to their components, each of variance 1.

    Directions that do not vary (fewer parts than components, or features that died) give 0.
    """
    centre = values.mean(0)
    _, spread, directions = np.linalg.svd(values - centre, full_matrices=False)
    weight = np.zeros((REFINED, values.shape[1]))
    kept = min(REFINED, len(spread))
    scale = spread[:kept] / np.sqrt(len(values))
    alive = scale > 1e-6 * max(float(scale.max(initial=0.0)), 1e-12)
    signs = np.where(np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1)[:kept] < 0, -1.0, 1.0)
    weight[:kept][alive] = (signs * directions[:kept])[alive] / scale[alive, None]
    return weight.astype(np.float32), (-weight @ centre).astype(np.float32)


def standard_of(fields: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean (F,) and 1 / standard deviation (F,) of what is not missing; a field never seen gives 0 and 1."""
    seen = ~np.isnan(fields)
    n = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, fields, 0).sum(0) / n
    spread = np.sqrt(np.where(seen, (fields - mean) ** 2, 0).sum(0) / n)
    return mean.astype(np.float32), (1 / np.where(spread > 0, spread, 1)).astype(np.float32)


def tensors_of(fields: NDArray[np.float64]) -> tuple[torch.Tensor, torch.Tensor]:
    """`fields` with 0 for NaN, and 1 where it was, both float32."""
    import torch

    missing = np.isnan(fields)
    return torch.from_numpy(np.where(missing, 0, fields).astype(np.float32)), torch.from_numpy(
        missing.astype(np.float32)
    )

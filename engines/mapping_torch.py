"""The steps of engines/mapping_training.py in torch, for a GPU: same draws, same loss, same Adam. Needs torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.mapping_training import LEAST, LEAST_LENGTH, MOMENTUM, SQUARES, Lesson, TwoLayers, rate_share
from engines.training_device import TrainingDevice

if TYPE_CHECKING:
    import torch


def descend_on(
    device: TrainingDevice, net: TwoLayers, draw: Callable[[], Lesson], n_steps: int, rate: float, margin: float
) -> NDArray[np.float64]:
    """See `engines.mapping_training.descend`: the same on `device`, but for the order in which products are summed."""
    import torch

    weights = [torch.from_numpy(each.copy()).to(device).requires_grad_() for each in net.arrays]
    optimiser = torch.optim.Adam(weights, rate, (MOMENTUM, SQUARES), LEAST)
    losses = torch.zeros(n_steps, dtype=torch.float64, device=device)
    for step in range(n_steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * rate_share(step, n_steps)
        loss = _loss(weights, draw(), margin)
        optimiser.zero_grad()
        torch.autograd.backward([loss])
        optimiser.step()
        losses[step] = loss.detach()
    for array, weight in zip(net.arrays, weights, strict=True):
        array[...] = weight.detach().cpu().numpy()
    return np.asarray(losses.cpu().numpy(), np.float64)


def _loss(weights: list[torch.Tensor], lesson: Lesson, margin: float) -> torch.Tensor:
    """The mean loss of `lesson`."""
    import torch
    from torch.nn import functional

    device = weights[0].device
    features, centres = (torch.from_numpy(each).to(device) for each in (lesson.features, lesson.centres))
    hidden = functional.linear(features, weights[0], weights[1]).relu()
    value = functional.linear(hidden, weights[2], weights[3])
    unit = functional.normalize(value, dim=1, eps=LEAST_LENGTH)
    away = (1 - (unit * centres).sum(1)) / 2
    n_good = len(away) - lesson.n_exposed
    return (away[:n_good].sum() + (margin - away[n_good:]).relu().sum()) / len(away)

"""Steps of Adam for the mapping network, in numpy: it has two layers, so its gradients are a few products.

Loss of a place: half its cosine distance to its centre; where a generated defect shows, what that falls short of the
margin (004 eq. 3 to 5). Source of the steps: Kingma & Ba, Adam (2015), with a rate that rises over the first twentieth
of the steps and falls to nothing along a cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.scoring_model import Float

_RISE_SHARE = 0.05
MOMENTUM, SQUARES, LEAST = 0.9, 0.999, 1e-8
LEAST_LENGTH = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Places of one step: standardised `features` (n, d), unit `centres` (n, m); the last `n_exposed` show a defect."""

    features: Float
    centres: Float
    n_exposed: int


@dataclass(frozen=True, slots=True, eq=False)
class TwoLayers:
    """N_M: `weight1` (hidden, d), `bias1`, a rectifier, `weight2` (m, hidden), `bias2`."""

    weight1: Float
    bias1: Float
    weight2: Float
    bias2: Float

    @classmethod
    def drawn(cls, n_in: int, n_hidden: int, n_out: int, rng: np.random.Generator) -> TwoLayers:
        """Weights uniform within 1 / sqrt(inputs), zero biases."""

        def layer(n_from: int, n_to: int) -> tuple[Float, Float]:
            weight = rng.uniform(-1, 1, (n_to, n_from)).astype(np.float32) / np.float32(math.sqrt(n_from))
            return weight, np.zeros(n_to, np.float32)

        return cls(*layer(n_in, n_hidden), *layer(n_hidden, n_out))

    @property
    def arrays(self) -> tuple[Float, Float, Float, Float]:
        """The weights and biases, which a step changes in place."""
        return self.weight1, self.bias1, self.weight2, self.bias2


def loss_and_gradients(net: TwoLayers, lesson: Lesson, margin: float) -> tuple[float, tuple[Float, ...]]:
    """The mean loss of `lesson`, and its gradients in the order of `net.arrays`."""
    n = len(lesson.features)
    hidden = np.maximum(lesson.features @ net.weight1.T + net.bias1, 0)
    value = hidden @ net.weight2.T + net.bias2
    length = np.maximum(np.sqrt(np.square(value).sum(1, keepdims=True)), np.float32(LEAST_LENGTH))
    unit = value / length
    cosine = (unit * lesson.centres).sum(1)
    away = (1 - cosine) / 2
    slope = np.full(n, 1 / n, np.float32)
    first_exposed = n - lesson.n_exposed
    short = margin - away[first_exposed:]
    slope[first_exposed:] = np.where(short > 0, np.float32(-1 / n), np.float32(0))
    loss = float(away[:first_exposed].sum() + np.maximum(short, 0).sum()) / n
    to_value = (-slope / 2)[:, None] * (lesson.centres - unit * cosine[:, None]) / length
    to_hidden = (to_value @ net.weight2) * (hidden > 0)
    return loss, (to_hidden.T @ lesson.features, to_hidden.sum(0), to_value.T @ hidden, to_value.sum(0))


def descend(
    net: TwoLayers, draw: Callable[[], Lesson], n_steps: int, rate: float, margin: float
) -> NDArray[np.float64]:
    """Train `net` in place; its twin for a GPU is in engines/mapping_torch.py. Returns: (n_steps,) each step's loss."""
    momenta = [np.zeros_like(each) for each in net.arrays]
    squares = [np.zeros_like(each) for each in net.arrays]
    losses = np.zeros(n_steps)
    for step in range(n_steps):
        losses[step], gradients = loss_and_gradients(net, draw(), margin)
        now = np.float32(rate * rate_share(step, n_steps) / (1 - MOMENTUM ** (step + 1)))
        correction = np.float32(1 / math.sqrt(1 - SQUARES ** (step + 1)))
        for moved in zip(net.arrays, gradients, momenta, squares, strict=True):
            _move(*moved, now, correction)
    return losses


def _move(
    array: Float, gradient: Float, momentum: Float, square: Float, rate: np.float32, correction: np.float32
) -> None:
    """One step of Adam: `array`, `momentum` and `square` in place."""
    momentum += np.float32(1 - MOMENTUM) * (gradient - momentum)
    square += np.float32(1 - SQUARES) * (np.square(gradient) - square)
    array -= rate * momentum / (np.sqrt(square) * correction + np.float32(LEAST))


def rate_share(step: int, n_steps: int) -> float:
    """Share of the greatest rate at `step`."""
    n_rising = max(1.0, _RISE_SHARE * n_steps)
    if step < n_rising:
        return (step + 1) / (n_rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - n_rising) / (n_steps - n_rising)))

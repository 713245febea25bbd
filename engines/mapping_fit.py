"""Training the mapping network N_M on good parts and generated defects.

N_M is made of 1x1 convolutions, so places are its samples: the backbone is frozen, features are made once, and a step
draws places at random. F_C is, at each place, the mean of good parts' features on their principal components (a map),
or one mean over all places (a vector). The loss of a place is half its cosine distance to its centre; where a
generated defect shows, it is what that falls short of `margin`.
Source: 004 §2.2, §2.3: eq. 3 to 5. The paper leaves N_M's layers open; it trains whole pictures for 300 epochs with a
margin of 0.1. Here places with defects, which are few, are drawn more often, and 800 steps are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.features import CompactFeatures
from engines.mapping_model import Dense, MappingModel
from engines.mapping_training import Lesson, TwoLayers, descend
from engines.scoring_model import Float
from engines.training_device import TrainingDevice

_LEAST_PICTURES = 3
_SAMPLE = 20000


@dataclass(frozen=True, slots=True)
class MappingSettings:
    """How N_M is trained; the defaults are those measured in docs/accuracy.md.

    `dimensions` of the whitened features that enter it; `hidden` and `mapped` channels it has; `target` see above;
    `margin` delta of eq. 5; `exposed_share` of a step's places that show a generated defect, 0: trained on good parts
    alone; `exposures`: pictures with up to `defects` generated defects each, made in turn from every good part.
    """

    dimensions: int = 256
    hidden: int = 256
    mapped: int = 64
    target: Literal["map", "vector"] = "map"
    margin: float = 0.3
    exposed_share: float = 0.5
    exposures: int = 400
    defects: int = 4
    steps: int = 800
    batch: int = 4096
    rate: float = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """Places of good parts with generated defects.

    `features` (M, d) projected; `places` (M,) flat indices into the grid; `shows` (M,) bool, whether a defect shows
    there; `parts` (M,) which good part it was made from.
    """

    features: NDArray[np.float16]
    places: NDArray[np.int64]
    shows: NDArray[np.bool_]
    parts: NDArray[np.int64]

    def of(self, parts: NDArray[np.int64]) -> Exposure:
        """Those made from `parts`."""
        kept = np.isin(self.parts, parts)
        return Exposure(self.features[kept], self.places[kept], self.shows[kept], self.parts[kept])


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """Places to learn from: `features` (M, d), `places` (M,) index into the scored places; the first `n_good` good."""

    features: NDArray[np.float16]
    places: NDArray[np.int64]
    n_good: int

    def draw(self, rng: np.random.Generator, n: int, exposed_share: float) -> tuple[NDArray[np.int64], int]:
        """(n,) indices of a step, and how many of them, the last ones, show a defect."""
        n_all = len(self.places)
        n_exposed = round(exposed_share * n) if n_all > self.n_good else 0
        good = rng.integers(0, self.n_good, n - n_exposed)
        return np.concatenate((good, rng.integers(self.n_good, max(n_all, self.n_good + 1), n_exposed))), n_exposed


def fit_mapping(
    projection: Float,
    projected: CompactFeatures,
    cells: NDArray[np.bool_],
    exposure: Exposure | None,
    settings: MappingSettings,
    seed: int,
    device: TrainingDevice = "cpu",
) -> MappingModel:
    """Train N_M.

    Args: projected: (N, d, h, w) features of good parts. cells: (N, h, w) bool, the cells that count; a place where
        fewer than three parts count is not scored. exposure: None: good parts alone (eq. 3). device: cpu is
        numpy's, cuda needs torch.
    """
    grid = (projected.shape[2], projected.shape[3])
    places = np.flatnonzero(cells.sum(0) >= _LEAST_PICTURES)
    rng = np.random.default_rng(seed)
    good, means = _good_places(projected, cells, places)
    mean, spread, centres = _target(good.features, means, settings, rng)
    samples = good if exposure is None else _with(good, exposure, places)
    net = TwoLayers.drawn(len(mean), settings.hidden, centres.shape[1], rng)

    def draw() -> Lesson:
        chosen, n_exposed = samples.draw(rng, settings.batch, settings.exposed_share)
        features = (samples.features[chosen].astype(np.float32) - mean) / spread
        return Lesson(features, centres[samples.places[chosen]], n_exposed)

    if device == "cpu":
        descend(net, draw, settings.steps, settings.rate, settings.margin)
    else:
        from engines.mapping_torch import descend_on

        descend_on(device, net, draw, settings.steps, settings.rate, settings.margin)
    weight = np.asarray(net.weight1 / spread, np.float32)  # what standardises goes into the first layer
    first = Dense(weight, np.asarray(net.bias1 - weight @ mean, np.float32))
    return MappingModel(projection, (first, Dense(net.weight2, net.bias2)), grid, places.astype(np.int64), centres)


def _good_places(
    projected: CompactFeatures, cells: NDArray[np.bool_], places: NDArray[np.int64]
) -> tuple[_Samples, Float]:
    """Every place of every good part that counts, and the (P, d) mean of each place."""
    n, d = projected.shape[:2]
    counted = cells.reshape(n, -1)[:, places]
    features, index = [], []
    total = np.zeros((len(places), d))
    for picture, use in zip(projected, counted, strict=True):
        z = picture.reshape(d, -1)[:, places].T
        total[use] += z[use]
        features.append(z[use].astype(np.float16))
        index.append(np.flatnonzero(use))
    means = np.asarray(total / np.maximum(counted.sum(0), 1)[:, None], np.float32)
    stacked = np.concatenate(features)
    return _Samples(stacked, np.concatenate(index), len(stacked)), means


def _target(
    good: NDArray[np.float16], means: Float, settings: MappingSettings, rng: np.random.Generator
) -> tuple[Float, Float, Float]:
    """Mean and spread (d,) that features are standardised by, and the unit centres (P, m)."""
    sample = good[rng.permutation(len(good))[:_SAMPLE]].astype(np.float32)
    mean, spread = sample.mean(0), sample.std(0) + np.float32(1e-6)
    standard = (sample - mean) / spread
    directions = np.linalg.eigh(standard.T @ standard)[1][:, ::-1][:, : settings.mapped]
    if settings.target == "map":
        centres = ((means - mean) / spread) @ directions
    else:  # the mean of standardised features is 0 and has no direction: it is taken without centring
        centres = np.repeat(((mean / spread) @ directions)[None], len(means), axis=0)
    length = np.maximum(np.sqrt(np.square(centres).sum(1, keepdims=True)), 1e-6)
    return mean, spread, np.asarray(centres / length, np.float32)


def _with(good: _Samples, exposure: Exposure, places: NDArray[np.int64]) -> _Samples:
    """`good` and the places of `exposure` that are scored, those with defects last."""
    order = np.argsort(exposure.shows, kind="stable")
    order = order[np.isin(exposure.places[order], places)]
    return _Samples(
        np.concatenate((good.features, exposure.features[order])),
        np.concatenate((good.places, np.searchsorted(places, exposure.places[order]))),
        good.n_good + int((~exposure.shows[order]).sum()),
    )

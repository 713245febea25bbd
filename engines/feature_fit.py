"""Fitting the feature model from good parts alone, in closed form: numpy and ONNX Runtime, no gradient steps.

The projection answers: along which directions do defects stand out most against the spread of good parts? With
S_w the covariance of good parts around their place's centre and S_o the second moment of what synthetic
defects do to the features, it solves ``S_o v = lambda S_w v`` and keeps the d greatest. In these coordinates good
parts have unit variance and defects 1 + lambda, so gain = lambda / (1 + lambda) is the weight of a square in the
log-likelihood ratio. (Outlier exposure, 004 eq. 5, without its training.)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.feature_model import FeatureModel, Float, Projection
from engines.features import Features

_RIDGE = 1e-3
_SPOILT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class FitSettings:
    """`dimensions` kept; `shrinkage` of a place's variances towards the pooled one; `trim` share of the farthest
    good parts at each place that is left out of the second fit, so that a few bad ones do not widen it."""

    dimensions: int = 64
    shrinkage: float = 0.5
    trim: float = 0.05


class Scatter:
    """Running second moments of features around their place's centre.

    Add good pictures first; `finish` gives the centre map and S_w. Only scored, valid cells count.
    """

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        self._count = np.zeros(grid)
        self._sum = np.zeros((channels, *grid))
        self._moment = np.zeros((channels, channels))

    def add(self, features: Float, cells: NDArray[np.bool_]) -> None:
        """One picture: `features` (C, h, w), `cells` (h, w) bool the ones that count."""
        self._count += cells
        self._sum += np.where(cells, features, 0)
        chosen = features[:, cells].astype(np.float64)
        self._moment += chosen @ chosen.T

    def finish(self) -> tuple[Float, NDArray[np.float64]]:
        """(C, h, w) centres and (C, C) covariance S_w around them, corrected for the centres' own fit."""
        count = np.maximum(self._count, 1)
        centres = self._sum / count
        flat = (centres * np.sqrt(self._count)).reshape(len(centres), -1)
        freedom = max(float(self._count.sum() - (self._count > 0).sum()), 1.0)
        return centres.astype(np.float32), (self._moment - flat @ flat.T) / freedom


def fit_projection(within: NDArray[np.float64], changes: NDArray[np.float32], settings: FitSettings) -> Projection:
    """The most telling directions.

    Args: within: (C, C) S_w. changes: (n, C) features of spoilt places minus those of the same places unspoilt.
    Raises: ValueError when there are no changes.
    """
    if not len(changes):
        raise ValueError("no synthetic defect touched a scored place")
    channels = len(within)
    ridge = _RIDGE * float(np.trace(within)) / channels + 1e-12
    root = np.linalg.cholesky(within + ridge * np.eye(channels))
    whitened = np.linalg.solve(root, changes.T.astype(np.float64))
    values, vectors = np.linalg.eigh(whitened @ whitened.T / len(changes))
    order = np.argsort(values)[::-1][: min(settings.dimensions, channels)]
    chosen = vectors[:, order]
    chosen = chosen * np.where(chosen[np.abs(chosen).argmax(0), np.arange(len(order))] < 0, -1.0, 1.0)
    matrix = np.linalg.solve(root.T, chosen).T
    telling = np.maximum(values[order], 1e-9)
    return Projection(matrix.astype(np.float32), (telling / (1 + telling)).astype(np.float32))


def fit_model(
    projection: Projection, projected: Features, cells: NDArray[np.bool_], settings: FitSettings
) -> FeatureModel:
    """Centres and variances at each place of good parts; `level` is 1 everywhere until calibration sets it.

    Args: projected: (N, d, h, w), N >= 2. cells: (N, h, w) bool, the cells that count; a place where fewer
        than three pictures count gets weight 0: it never alarms.
    """
    first = _fit_once(projection, projected, cells, settings)
    n_trimmed = int(settings.trim * len(projected))
    if n_trimmed == 0:
        return first
    far = np.where(cells, first.score(projected), -np.inf)
    limit = np.partition(far, len(far) - 1 - n_trimmed, axis=0)[len(far) - 1 - n_trimmed]
    return _fit_once(projection, projected, cells & (far <= limit), settings)


def spoilt_cells(mask: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w) bool: the cells of which a quarter or more is covered by `mask` (H, W)."""
    share = cv2.resize(mask.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(share >= _SPOILT_SHARE, np.bool_)


def _fit_once(
    projection: Projection, projected: Features, cells: NDArray[np.bool_], settings: FitSettings
) -> FeatureModel:
    count = cells.sum(0)
    known = count >= 3
    weight = cells[:, None].astype(np.float32)
    centres = (projected * weight).sum(0) / np.maximum(count, 1)
    squares = (np.square(projected - centres) * weight).sum(0)
    freedom = np.maximum(count - 1, 1)
    pooled = (squares[:, known].sum(1) / max(int(freedom[known].sum()), 1))[:, None, None]
    place = _smooth(squares / freedom, known)
    variance = (1 - settings.shrinkage) * place + settings.shrinkage * pooled
    gain = projection.gain[:, None, None]
    weights = np.where(known, gain / np.maximum(variance, 1e-6) / len(gain), 0)
    level = np.ones(count.shape, np.float32)
    return FeatureModel(projection, centres.astype(np.float32), weights.astype(np.float32), level)


def _smooth(maps: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`maps` (d, h, w) averaged over neighbouring known places: residual misalignment moves features about."""
    mass = cv2.GaussianBlur(known.astype(np.float32), (0, 0), 0.7)
    return np.stack([cv2.GaussianBlur(m * known, (0, 0), 0.7) / np.maximum(mass, 1e-3) for m in maps])

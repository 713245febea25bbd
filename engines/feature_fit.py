"""Fitting the feature model from good parts alone, in closed form and k-means: numpy, no gradient steps.

The projection whitens what good parts vary around their place's centre, pooled over places, and keeps d random
directions of that space: subtle deviations count as much as bold ones. A place's variances are its own, but a share of
the pooled ones at least, and K centres by k-means hold what good parts look like there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.feature_model import FeatureModel, Float
from engines.features import CompactFeatures

_RIDGE = 3.0
"""Added to the whitened covariance, in units of its mean variance."""
USUAL_FLOOR = 1.0
_LEAST_PICTURES = 3
_CHUNK_PLACES = 128
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How the model is fitted; the defaults are those measured in docs/accuracy.md.

    `dimensions` kept of the features; `floor` of a place's variances, in units of the pooled ones, None: `train`
    chooses it on generated defects (pipeline/variance_floor.py), and a fit by itself takes 1; `centres` a place, at
    most a third of the pictures; `outlier_ratio`: at each place, good parts farther from the mean than this multiple of
    the median distance are left out, so that a few bad ones do no harm. `power` of a frame's own level that its
    distances are divided by: 0 judges them as they are, 1 by how they stand out alone.
    """

    dimensions: int = 144
    floor: float | None = None
    centres: int = 20
    outlier_ratio: float = 3.0
    power: float = 0.5


class Scatter:
    """Running second moments of features around their place's centre; only cells that count are added."""

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

    def within(self) -> NDArray[np.float64]:
        """(C, C) covariance around the places' centres, corrected for the centres' own fit."""
        count = np.maximum(self._count, 1)
        flat = (self._sum / np.sqrt(count)).reshape(len(self._sum), -1)
        freedom = max(float(self._count.sum() - (self._count > 0).sum()), 1.0)
        return np.asarray((self._moment - flat @ flat.T) / freedom)


def fit_projection(within: NDArray[np.float64], settings: FitSettings, seed: int) -> Float:
    """(d, C) matrix onto random orthogonal directions of the space in which `within` (C, C) is the identity."""
    channels = len(within)
    ridge = _RIDGE * float(np.trace(within)) / channels + 1e-12
    root = np.linalg.cholesky(within + ridge * np.eye(channels))
    n_kept = min(settings.dimensions, channels)
    directions = np.eye(channels)
    if n_kept < channels:
        directions = np.linalg.qr(np.random.default_rng(seed).standard_normal((channels, n_kept)))[0]
    return np.ascontiguousarray(np.linalg.solve(root.T, directions).T, np.float32)


def fit_model(
    projection: Float, projected: CompactFeatures, cells: NDArray[np.bool_], settings: FitSettings, seed: int
) -> FeatureModel:
    """Mean, spread and centres of good parts at each place.

    Args: projected: (N, d, h, w), N >= 3, any float type. cells: (N, h, w) bool, the cells that count; a place
        where fewer than three pictures count is not scored: it never alarms.
    """
    n, d, height, width = projected.shape
    count = cells.sum(0)
    places = np.flatnonzero(count >= _LEAST_PICTURES)
    mean = np.zeros((d, height, width), np.float32)
    squares = np.zeros((d, height, width), np.float32)
    for picture, counted in zip(projected, cells, strict=True):
        mean += np.where(counted, picture, 0)
    mean /= np.maximum(count, 1)
    for picture, counted in zip(projected, cells, strict=True):
        squares += np.where(counted, np.square(picture - mean), 0)
    weight = _weights(squares, count, USUAL_FLOOR if settings.floor is None else settings.floor)
    chosen_mean = mean.reshape(d, -1)[:, places].T
    chosen_weight = weight.reshape(d, -1)[:, places].T
    n_centres = max(1, min(settings.centres, n // 3))
    flat = projected.reshape(n, d, -1)
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, len(places), _CHUNK_PLACES):
        chunk = slice(start, start + _CHUNK_PLACES)
        z = flat[:, :, places[chunk]].transpose(2, 0, 1).astype(np.float32)
        y = (z - chosen_mean[chunk, None]) * chosen_weight[chunk, None]
        use = cells.reshape(n, -1)[:, places[chunk]].T
        parts.append(_centres(y, _without_outliers(y, use, settings.outlier_ratio), n_centres, rng))
    centres = np.concatenate(parts) if parts else np.zeros((0, n_centres, d), np.float32)
    return FeatureModel(
        projection,
        (height, width),
        places.astype(np.int64),
        np.ascontiguousarray(chosen_mean),
        np.ascontiguousarray(chosen_weight),
        centres,
        settings.power,
    )


def _weights(squares: Float, count: NDArray[np.int64], floor: float) -> Float:
    """(d, h, w) reciprocal spread, the variances smoothed over neighbours, `floor` times the pooled ones at least.

    Divided by sqrt(d). A quiet place is not believed to be quieter than all are: what a few good parts happened not to
    show there would alarm; a restless one keeps its restlessness.
    """
    known = count >= _LEAST_PICTURES
    freedom = np.maximum(count - 1, 1).astype(np.float32)
    pooled = squares[:, known].sum(1) / max(float(freedom[known].sum()), 1.0)
    mass = np.maximum(cv2.GaussianBlur(known.astype(np.float32), (0, 0), 0.7), 1e-3)
    place = np.stack([cv2.GaussianBlur(m * known, (0, 0), 0.7) / mass for m in squares / freedom])
    variance = np.maximum(place, floor * pooled[:, None, None])
    return np.asarray(1 / np.sqrt(np.maximum(variance, 1e-8) * len(squares)), np.float32)


def _without_outliers(y: Float, use: NDArray[np.bool_], ratio: float) -> NDArray[np.bool_]:
    """`use` (P, N) without the pictures of `y` (P, N, d) that lie too far from the place's mean."""
    away = np.sqrt(np.square(y).sum(2))
    median: Float = np.nanmedian(np.where(use, away, np.nan), axis=1, keepdims=True)
    return np.asarray(use & (away <= ratio * np.maximum(median, 1e-6)), np.bool_)


def _centres(y: Float, use: NDArray[np.bool_], n_centres: int, rng: np.random.Generator) -> Float:
    """(P, K, d) centres by k-means++ and eight rounds of Lloyd, all places at once. `y` (P, N, d), `use` (P, N)."""
    n_places, n, d = y.shape
    everyone = np.arange(n_places)
    squares = np.square(y).sum(2)
    centres = np.zeros((n_places, n_centres, d), np.float32)
    centres[:, 0] = y[everyone, np.where(use, squares, np.inf).argmin(1)]
    away = np.where(use, np.inf, 0).astype(np.float32)
    for k in range(1, n_centres):
        last = centres[:, k - 1]
        distance = squares + np.square(last).sum(1)[:, None] - 2 * np.matmul(y, last[:, :, None])[:, :, 0]
        away = np.minimum(away, np.where(use, np.maximum(distance, 0), 0))
        reach = np.cumsum(away, axis=1, dtype=np.float64)
        drawn = (reach < rng.random((n_places, 1)) * reach[:, -1:]).sum(1)
        centres[:, k] = y[everyone, np.minimum(drawn, n - 1)]
    for _ in range(_ROUNDS):
        half: Float = np.square(centres).sum(2) / 2
        nearest = (np.matmul(y, centres.transpose(0, 2, 1)) - half[:, None]).argmax(2)
        member = ((nearest[:, :, None] == np.arange(n_centres)) & use[:, :, None]).astype(np.float32)
        size: Float = member.sum(1)
        moved = np.matmul(member.transpose(0, 2, 1), y) / np.maximum(size, 1)[:, :, None]
        centres = np.where(size[:, :, None] > 0, moved, centres).astype(np.float32)
    return centres

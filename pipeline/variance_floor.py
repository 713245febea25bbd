"""How quiet a place may be held to be, in units of what all places vary: chosen on good parts and generated defects.

A place's own restlessness always counts; its quiet counts as far as this floor. How far it is to be believed depends
on the product: boards and textures, whose places differ in what varies there, want a low floor; screws, whose thread
stands differently on every part, a high one.
Each candidate is fitted without some good parts, and these, each spoilt in one place, are judged by it: the one
whose score maps point best at the spoilt places, by mean average precision, is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.feature_fit import FitSettings, fit_model
from engines.feature_model import Float
from engines.features import FeatureExtractor
from engines.synthetic_defects import spoil_within
from pipeline.metrics import average_precision
from pipeline.preparation import Prepared

Bool = NDArray[np.bool_]
Progress = Callable[[str, int, int], None]

CANDIDATES = (0.7, 1.0, 1.4)
N_SPOILT = 120
_MOST_PARTS = 120
_TIE = 0.25
_FEW_PARTS, _N_FOLDS = 24, 4
_JUDGED_SIDE_PX = 256


class Scoring(Protocol):
    """How grids become score maps (see pipeline.rig.Rig)."""

    def scored(self, valid: Bool | None) -> Bool | None:
        """(H, W) pixels that may be scored; None: all."""
        ...

    def score_map(self, grid: NDArray[np.float32], valid: Bool | None) -> NDArray[np.float32]:
        """(H, W) score map of a frame's grid (h, w)."""
        ...


def choose_floor(
    rig: Scoring,
    extractor: FeatureExtractor,
    projection: Float,
    aligned: Sequence[Prepared],
    projected: NDArray[np.float16],
    cells: Bool,
    fit: FitSettings,
    seed: int,
    progress: Progress,
) -> float:
    """The candidate that finds generated defects best.

    Args: extractor: of features projected by `projection`. projected (N, d, h, w) and cells (N, h, w) of `aligned`.
    Time: a fit a candidate to 90 parts at most (four to three quarters of them below 24 parts), and 120 pictures.
    """
    order = np.random.default_rng([seed, 2]).permutation(len(aligned))[:_MOST_PARTS]
    folds = list(np.array_split(order, _N_FOLDS))
    folds = folds if len(aligned) < _FEW_PARTS else folds[:1]
    found = np.zeros((len(CANDIDATES), 0))
    for done, held in enumerate(folds):
        progress("generated defects", done, len(folds))
        rest = np.setdiff1d(order, held)
        spoilt = list(_spoilt(rig, extractor, aligned, held, -(-N_SPOILT // (len(folds) * len(held))), seed))
        features = np.concatenate([each[1] for each in spoilt])
        rows = []
        for candidate in CANDIDATES:
            settings = replace(fit, floor=candidate)
            grids = fit_model(projection, projected[rest], cells[rest], settings, seed).score(features)
            rows.append(
                [_precision(rig, grid, part, mask) for grid, (part, _, mask) in zip(grids, spoilt, strict=True)]
            )
        found = np.concatenate((found, rows), axis=1)
    progress("generated defects", len(folds), len(folds))
    return CANDIDATES[best_of(found)]


def best_of(precision: NDArray[np.float64]) -> int:
    """The row of `precision` (candidates, defects) with the greatest mean; of ties the last, which believes least.

    A tie is a mean nearer to the greatest than a quarter of the standard error of their difference. nan is left out.
    """
    means = np.nanmean(precision, axis=1)
    apart = precision - precision[int(means.argmax())]
    error = np.nanstd(apart, axis=1) / np.sqrt(np.maximum(np.isfinite(apart).sum(1), 1))
    return int(np.flatnonzero(means >= means.max() - _TIE * error)[-1])


def _spoilt(
    rig: Scoring,
    extractor: FeatureExtractor,
    aligned: Sequence[Prepared],
    held: NDArray[np.int64],
    n_each: int,
    seed: int,
) -> Iterator[tuple[Prepared, NDArray[np.float16], Bool]]:
    """Each part in `held` spoilt `n_each` times: the part, its features (1, d, h, w), the (H, W) mask of the defect."""
    for index in held:
        rng = np.random.default_rng([seed, 3, int(index)])
        part = aligned[index]
        picture = part.picture
        for _ in range(n_each):
            spoilt, mask = spoil_within(rng, picture, rig.scored(part.valid))
            yield part, extractor.of_picture(spoilt).astype(np.float16), mask


def _precision(rig: Scoring, grid: NDArray[np.float32], part: Prepared, mask: Bool) -> float:
    """Average precision of one spoilt part's score map, at about 256 px; nan when nothing that is scored was spoilt."""
    step = max(1, max(mask.shape) // _JUDGED_SIDE_PX)
    score_map, mask = rig.score_map(grid, part.valid)[::step, ::step], mask[::step, ::step]
    shown = np.isfinite(score_map)
    return average_precision(mask[shown], score_map[shown])

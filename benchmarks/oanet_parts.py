"""Parts of the ASE-like line for OANet's benchmark: dots, true field values, labels, as many as the paper has."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ase_line import BLOCK, AseLine
from pipeline.ase_parameters import PARAMETERS

CROP_PX = 160
N_USUAL = 40
NAMES = tuple(each.name for each in PARAMETERS)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """`crops` (N, CROP_PX, CROP_PX, 3) uint8 RGB, `values` (N, F) true fields, `defective` (N,), `best` accuracy.

    `usual_crops`: of good parts made after these, for what is usual.
    """

    crops: NDArray[np.uint8]
    values: NDArray[np.float64]
    defective: NDArray[np.bool_]
    best: float
    usual_crops: NDArray[np.uint8]


def make_parts(count: int = BLOCK, seed: int = 7) -> Parts:
    """The first `count` parts of line `seed`."""
    line = AseLine(seed)
    crops = np.empty((count, CROP_PX, CROP_PX, 3), np.uint8)
    values, defective = np.empty((count, len(NAMES))), np.empty(count, np.bool_)
    for index in range(count):
        part = line.sample(index)
        crops[index], defective[index] = _crop(part.dots), part.defective
        values[index] = [part.fields[name].value for name in NAMES]
    index = 10 * BLOCK
    usual: list[NDArray[np.uint8]] = []
    while len(usual) < N_USUAL:
        sample = line.sample(index)
        usual += [] if sample.defective else [_crop(sample.dots)]
        index += 1
    return Parts(crops, values, defective, line.best_accuracy, np.stack(usual))


def split(defective: NDArray[np.bool_], seed: int, share: float = 0.7) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and test parts, `share` of good and of defective ones to train."""
    rng = np.random.default_rng([seed, 9])
    train: list[int] = []
    for kind in (False, True):
        members = rng.permutation(np.flatnonzero(defective == kind))
        train += members[: round(share * len(members))].tolist()
    chosen = np.array(sorted(train), np.int64)
    return chosen, np.setdiff1d(rng.permutation(len(defective)), chosen)


def _crop(dots: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(dots, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA), np.uint8)

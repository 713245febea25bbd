"""The pose of a part in a frame: coarse search, refinement level by level, and ties between equivalent poses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.align_levels import F32, Level, build_levels, pyramid
from engines.align_search import SearchBank, build_search, search
from engines.align_settings import AlignSettings
from engines.geometry import Transform, apply, compose, identity

_TIE = 0.02
"""Agreements closer than this are equal, where the recipe declares a part the same after turns."""
_STOP_PX = (0.002, 0.02)
"""Shortest step of the finest level, and of the others, in their own pixels."""
_SAME_PX = 2.0
_TURNED_DEG = 8.0
_LEAST_LIKENESS = 0.85


_GRAIN = np.array([2.0**20, 2.0**20, 2.0**12])
"""Parts of one that a pose's terms are rounded to: 2e-4 px, a tenth of the step at which refinement stops."""


def settled(found: Transform) -> Transform:
    """`found` (2, 3), rounded.

    Compiled anew or loaded from its cache, a kernel's sums may differ in the last bits; on 8 bits that would be
    enough to move a score by a percent. A frame's verdict is to be the same in every process.
    """
    return np.asarray(np.rint(found * _GRAIN) / _GRAIN, np.float64)


@dataclass(frozen=True, slots=True)
class _Breadth:
    """How many starts are refined, how many poses are kept after a level, and how far below the best they may be.

    `margins`: agreement below the best at the coarsest level, at the next, and at all others.
    """

    n_starts: int
    n_kept: int
    margins: tuple[float, float, float]


_FRAME = _Breadth(6, 4, (0.3, 0.05, 0.02))
_SELF = _Breadth(36, 36, (0.4, 0.25, 1 - _LEAST_LIKENESS))


@dataclass(frozen=True, slots=True, eq=False)
class PoseFinder:
    """Everything computed from one template to find its part. Poses are template px -> frame px at working size.

    `symmetries` (s, 2, 3): turns after which the template looks much like itself, without the identity.
    `likeness` (s,): agreement of the template with itself so turned.
    """

    settings: AlignSettings
    levels: tuple[Level, ...]
    bank: SearchBank
    symmetries: NDArray[np.float64]
    likeness: NDArray[np.float64]

    def find(self, base: F32, start: Transform | None = None) -> Transform | None:
        """The pose of the part in the smoothed frame `base` (H, W); None when no start could be refined.

        Args: start: the one pose to refine, in place of the search's.
        """
        poses, scores = self._candidates(base, _FRAME, start)
        if len(poses) == 0:
            return None
        chosen = 0
        if self.settings.symmetry == "equivalent":
            turns = np.array([abs(self._angle_deg(pose)) for pose in poses])
            chosen = int(np.where(scores >= scores[0] - _TIE, turns, math.inf).argmin())
        return settled(poses[chosen])

    def refine(self, base: F32, start: Transform) -> Transform:
        """`start` brought onto the part in the smoothed frame `base`, level by level: what follows the search."""
        pictures = pyramid(base, len(self.levels))
        poses = np.array(start[None], np.float64)
        for index in range(len(self.levels) - 1, -1, -1):
            self.levels[index].refine(pictures[index], poses, 12, _STOP_PX[index > 0])
        return settled(poses[0])

    def _candidates(
        self, base: F32, breadth: _Breadth, start: Transform | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(k, 2, 3) refined poses in the smoothed frame `base` and their (k,) agreements, best first."""
        pictures = pyramid(base, len(self.levels))
        poses = search(self.bank, pictures[-1], breadth.n_starts) if start is None else np.array(start[None])
        scores = np.empty(0)
        n_kept, coarsest = breadth.n_kept, len(self.levels) - 1
        for index in range(coarsest, -1, -1):
            if index == max(coarsest - 1, 0) and len(poses) and len(self.symmetries):
                turned = np.stack([compose(poses[0], turn) for turn in self.symmetries])
                poses, n_kept = np.concatenate((poses, turned)), n_kept + len(turned)
            steps = 6 if index == coarsest > 0 else 12
            scores = self.levels[index].refine(pictures[index], poses, steps, _STOP_PX[index > 0])
            margin = breadth.margins[min(coarsest - index, 2)]
            poses, scores = self._keep(poses, scores, margin, n_kept)
        return poses, scores

    def _keep(
        self, poses: NDArray[np.float64], scores: NDArray[np.float64], margin: float, n_most: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The poses within the capture range that score within `margin` of the best, each once, best first."""
        kept: list[int] = []
        for index in np.argsort(-scores, kind="stable").tolist():
            if scores[index] <= -1.0 or (kept and scores[index] < scores[kept[0]] - margin) or len(kept) == n_most:
                break
            if abs(self._angle_deg(poses[index])) > self.settings.max_angle_deg + 1.0:
                continue
            if all(self._distance_px(poses[index], poses[other]) > _SAME_PX for other in kept):
                kept.append(index)
        return np.ascontiguousarray(poses[kept]), scores[kept]

    def _angle_deg(self, pose: Transform) -> float:
        """Turn of `pose`, counter-clockwise as seen, in degrees."""
        aspect = self.settings.pixel_aspect
        (a, b, _), (c, d, _) = pose.tolist()
        return math.degrees(math.atan2(b / aspect - c * aspect, a + d))

    def _distance_px(self, one: Transform, other: Transform) -> float:
        """How far apart two poses put the template, in working pixels, at its typical distance from the middle."""
        cx, cy, reach, _ = self.levels[0].place.tolist()
        shift = apply(one - other, np.array([cx, cy]))
        turned = (one - other)[:, :2]
        return math.hypot(*shift.tolist()) + float(reach) * math.hypot(*turned.ravel().tolist())


def build_pose_finder(base: F32, trust: F32, settings: AlignSettings) -> PoseFinder:
    """The finder for the smoothed template `base` (H, W), its part `trust` (H, W); looks for its symmetries."""
    nothing = np.empty((0, 2, 3)), np.empty(0)
    finder = PoseFinder(settings, build_levels(base, trust, settings), build_search(base, trust, settings), *nothing)
    poses, scores = finder._candidates(base, _SELF)
    others = [
        k
        for k in range(len(poses))
        if finder._distance_px(poses[k], identity()) > _SAME_PX
        and abs(finder._angle_deg(poses[k])) > _TURNED_DEG
        and scores[k] >= _LEAST_LIKENESS
    ]
    return replace(finder, symmetries=np.ascontiguousarray(poses[others]), likeness=scores[others])

"""What a training shows people of its thresholds: generated defects, and the good parts that score highest.

Thresholds from good parts alone stand where the few highest of their scores put them. What stops too little is
best mended by looking at these parts: a mark that nobody called a defect holds the thresholds up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.features import FeatureExtractor
from engines.scoring_model import ScoringModel
from engines.synthetic_defects import spoil_within
from pipeline.placing import Progress
from pipeline.preparation import Prepared
from pipeline.rig import Rig

N_SPOILT = 40
N_SHOWN = 6

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class SpoiltPart:
    """A good part with one generated defect: `grey` (H, W) uint8, `mask` (H, W) bool, and its frame score."""

    grey: Grey
    mask: NDArray[np.bool_]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class HighPart:
    """A good part that scores high: `grey` (H, W) uint8, and `place` (x, y), the template pixel where it does."""

    name: str
    score: float
    grey: Grey
    place: tuple[int, int]


def spoil_parts(rig: Rig, model: ScoringModel, aligned: Sequence[Prepared], progress: Progress) -> list[SpoiltPart]:
    """Up to forty of the `aligned` good parts, spoilt in one place each, as `model` scores them."""
    rng = np.random.default_rng(rig.settings.seed)
    extractor = FeatureExtractor(
        rig.backbone, rig.size_px, projection=model.projection, n_threads=rig.settings.n_threads
    )
    found = []
    for done, each in enumerate(aligned[:N_SPOILT]):
        progress("sensitivity", done, min(N_SPOILT, len(aligned)))
        spoilt, mask = spoil_within(rng, each.picture, rig.scored(each.valid))
        grid = model.score(extractor.of_picture(spoilt))
        found.append(SpoiltPart(spoilt.mean(axis=2).astype(np.uint8), mask, float(rig.frame_scores(grid, [each])[0])))
    progress("sensitivity", len(found), len(found))
    return found


def highest_parts(
    rig: Rig,
    names: Sequence[str],
    aligned: Sequence[Prepared],
    grids: NDArray[np.float32],
    scores: NDArray[np.float64],
) -> list[HighPart]:
    """The six good parts that score highest, highest first.

    Args: grids (n, h, w) and scores (n,) of the parts, each by a model that has not seen it.
    """
    found = []
    for index in np.argsort(-scores, kind="stable")[:N_SHOWN].tolist():
        score_map = rig.score_map(grids[index], aligned[index].valid)
        y, x = np.unravel_index(int(score_map.argmax()), score_map.shape)
        found.append(HighPart(names[index], float(scores[index]), aligned[index].grey, (int(x), int(y))))
    return found

"""What thresholds from good parts alone stop, and what they would stop after a look at three parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_cases import Case, train_case
from benchmarks.accuracy_data import lay_out
from pipeline.evaluation import GOOD, find_pictures
from pipeline.folder_inspection import inspect_files
from pipeline.inspection import Inspector, RecipeRules


@dataclass(frozen=True, slots=True)
class Stopped:
    """Test parts at or above a review threshold; what was not inspected does not pass either."""

    review: float
    n_good: int
    n_bad: int


@dataclass(frozen=True, slots=True)
class Look:
    """`as_trained`, and as if the three good parts that score highest had been taken out of the calibration.

    `n_good`, `n_bad`: test parts.
    """

    n_good: int
    n_bad: int
    as_trained: Stopped
    without_highest: Stopped | None


def look_at_highest(case: Case, folder: Path, say: Callable[[str], None]) -> Look:
    """Judge the test pictures of `case` by both review thresholds."""
    say(f"{case.name}: without the three highest good parts")
    inspector = Inspector(train_case(case, folder, lambda text: None), backend="onnxruntime")
    manifest, pictures = inspector.bundle.manifest, find_pictures(lay_out(case.data, folder))
    rules = RecipeRules.of_manifest(manifest)
    answers = inspect_files(inspector, [each.path for each in pictures], rules, lambda what, done, total: None)
    scores = np.array([np.inf if each.score is None else each.score for each in answers])
    inspector.close()
    bad = np.array([picture.kind != GOOD for picture in pictures])
    lower = manifest.training.figures["review_without_highest"]
    return Look(
        int((~bad).sum()),
        int(bad.sum()),
        _stopped(scores, bad, manifest.thresholds.review),
        None if lower is None else _stopped(scores, bad, float(str(lower))),
    )


def _stopped(scores: NDArray[np.float64], bad: NDArray[np.bool_], review: float) -> Stopped:
    above = scores >= review
    return Stopped(round(review, 3), int((above & ~bad).sum()), int((above & bad).sum()))

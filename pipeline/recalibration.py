"""New thresholds for a bundle that exists, from good parts it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from engines.bundle import Bundle
from engines.manifest import Calibration
from pipeline.bundling import gated
from pipeline.calibration import Choice, calibrate_thresholds, outliers, trade_off, with_refused
from pipeline.folder_inspection import Progress, inspect_files
from pipeline.good_parts import check_apart, pictures_sha256
from pipeline.inspection import Inspector, RecipeRules
from pipeline.provenance import calibration_record
from schemas.errors import InputError

_METHOD = "generalised Pareto tail of good parts apart from training, upper bound of 95 %"


class Recalibration(BaseModel):
    """What `sightline calibrate` prints. `bound_per_1000`: false calls expected at most, with 95 % confidence."""

    model_config = ConfigDict(frozen=True)

    n_good: int
    n_uninspected: int
    suspects: list[str]
    false_calls_per_1000: float
    expected_per_1000: float
    bound_per_1000: float
    review: float
    fail: float
    review_before: float
    fail_before: float
    n_bad: int = 0
    n_bad_caught: int = 0
    trade_off: list[Choice] = []


def recalibrate(
    bundle: Bundle,
    paths: Sequence[Path],
    bad: Sequence[Path],
    target_per_1000: float,
    *,
    n_threads: int,
    seed: int,
    progress: Progress,
) -> tuple[Bundle, Recalibration]:
    """The bundle with thresholds for `target_per_1000` false calls, and what was found.

    Good parts far above the others take no part and are named: look at them. `bad`: pictures of defective parts, which
    sharpen the thresholds (see `calibrate_thresholds`).
    Raises: InputError when the pictures are those of the training, too few, or cannot be used.
    """
    if bundle.manifest.training.pictures_sha256 == pictures_sha256(paths):
        raise InputError(
            "these are the pictures the bundle was trained on, which it knows too well; give other good parts, or "
            "train again with --false-calls-per-1000"
        )
    check_apart(paths, bad)
    inspector = Inspector(bundle, backend="onnxruntime", n_threads=n_threads)
    rules = RecipeRules.of_manifest(bundle.manifest)
    answers = list(inspect_files(inspector, paths, rules, progress))
    found = [answer.score for answer in inspect_files(inspector, bad, rules, progress)]
    inspector.close()
    bad_scores = np.array([score for score in found if score is not None])
    named = [(path.name, answer.score) for path, answer in zip(paths, answers, strict=True) if answer.score is not None]
    if not named:
        raise InputError(f"none of {len(paths)} pictures could be inspected, e.g. {paths[0].name}: {answers[0].detail}")
    scores = np.array([score for _, score in named])
    suspect = outliers(scores)
    fit = calibrate_thresholds(scores[~suspect], target_per_1000, seed, bad_scores)
    before = bundle.manifest
    record: Calibration = calibration_record(fit, scores, before.calibration.residual_limit, _METHOD)
    manifest = before.model_copy(update={"thresholds": fit.thresholds, "calibration": record, "parity": None})
    return gated(manifest, bundle.members, []), Recalibration(
        n_good=len(named),
        n_uninspected=len(paths) - len(named),
        suspects=[name for (name, _), odd in zip(named, suspect, strict=True) if odd],
        false_calls_per_1000=target_per_1000,
        expected_per_1000=fit.expected_per_1000,
        bound_per_1000=fit.bound_per_1000,
        review=fit.thresholds.review,
        fail=fit.thresholds.fail,
        review_before=before.thresholds.review,
        fail_before=before.thresholds.fail,
        n_bad=len(bad),
        trade_off=trade_off(scores[~suspect], with_refused(bad_scores, len(bad)), seed, bad_scores) if bad else [],
        n_bad_caught=len(bad) - int((bad_scores < fit.thresholds.review).sum()),
    )

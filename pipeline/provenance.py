"""What a bundle says about where it comes from: its manifest, and the record of a calibration."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from engines.manifest import Calibration, Manifest, Training
from pipeline.calibration import CalibrationFit, review_without_highest
from pipeline.good_parts import PictureSet
from pipeline.training import TrainedModel, TrainSettings

_METHOD = "generalised Pareto tail of held-out good parts (5 folds), upper bound of 95 %"


def manifest_of(
    product: str,
    good: PictureSet,
    trained: TrainedModel,
    settings: TrainSettings,
    backbone: str,
    created_at: datetime,
    bad_scores: NDArray[np.float64] | None = None,
) -> Manifest:
    """The manifest of a bundle of `trained`, without members and parity.

    Args: bad_scores: of the defective parts that its thresholds know.
    """
    fit = trained.calibration
    height, width = trained.template.shape[:2]
    return Manifest(
        product=product,
        created_at=created_at,
        version=version("sightline"),
        input_size_px=(width, height),
        frame_size_px=good.size_px,
        colour=good.colour,
        decode_reduction=good.reduction,
        align=trained.align,
        score=trained.score,
        thresholds=fit.thresholds,
        cell_threshold=trained.cell_threshold,
        um_per_px=settings.um_per_px,
        backbone=backbone,
        precision=trained.precision,
        calibration=calibration_record(
            fit, trained.scores, None if trained.align is None else trained.align.residual_limit, _METHOD
        ),
        training=Training(
            n_good=len(trained.used),
            seed=settings.seed,
            version=version("sightline"),
            pictures_sha256=good.sha256,
            figures={
                "localiser": settings.localiser,
                "device": settings.device,
                "grid_px": settings.grid_px,
                "scored": settings.scored,
                "dimensions": settings.fit.dimensions,
                "variance_floor": trained.fit.floor,
                "centres": settings.fit.centres,
                "outlier_ratio": settings.fit.outlier_ratio,
                "synthetic_defects": len(trained.spoilt),
                "synthetic_defects_caught": trained.n_synthetic_caught,
                "review_without_highest": review_without_highest(
                    trained.usual_scores, fit.target_per_1000, settings.seed, bad_scores
                ),
                "refused": [f"{name}: {why}" for name, why in trained.refused],
                "suspects": list(trained.suspects),
            },
        ),
    )


def calibration_record(
    fit: CalibrationFit, scores: NDArray[np.float64], residual_limit: float | None, method: str
) -> Calibration:
    """What the manifest says about a calibration on good parts with these frame scores."""
    return Calibration(
        n_good=fit.n_scores,
        n_bad=fit.n_bad,
        false_calls_per_1000=fit.target_per_1000,
        score_median=float(np.median(scores)),
        score_spread=float(np.std(scores)),
        residual_limit=residual_limit,
        method=method,
        figures={
            "expected_per_1000": fit.expected_per_1000,
            "bound_per_1000": fit.bound_per_1000,
            "tail_start": fit.tail.start,
            "tail_scale": fit.tail.scale,
            "tail_shape": fit.tail.shape,
        },
    )

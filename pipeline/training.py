"""Training a product: good pictures in, a complete bundle out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.align_settings import AlignSettings
from engines.backbone import Backbone, in_precision, on_grid
from engines.feature_fit import FitSettings
from engines.manifest import ScoreSettings
from engines.precision import ROUNDED
from engines.scoring_model import ScoringModel
from pipeline.calibration import CalibrationFit, calibrate_thresholds, cell_threshold, outliers
from pipeline.good_parts import PictureSet
from pipeline.matcher import Matcher
from pipeline.placing import Progress, align_all, learn_alignment, part_pixels
from pipeline.preparation import Preparation, Prepared
from pipeline.rig import Rig
from pipeline.sensitivity import HighPart, SpoiltPart, highest_parts, spoil_parts
from pipeline.train_settings import TrainSettings
from schemas.errors import InputError

__all__ = ["Progress", "TrainSettings", "TrainedModel", "train_model"]
Bool = NDArray[np.bool_]

_RANGE_PICTURES = 32
LEAST_LEVEL_SHARE = 0.5
"""A frame's level counts as this share of good parts' median level at least."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """All that a bundle is made of.

    `scores` (n,): frame scores of the good parts in `used`, each by a model fitted without it. `cell_threshold`:
    see `pipeline.calibration.cell_threshold`. `hits` (n, h, w): held-out grid cells of the parts in `used` above it.
    `spoilt`, `highest`: see pipeline/sensitivity.py.
    """

    template: NDArray[np.uint8]
    align: AlignSettings | None
    matcher: Matcher | None
    foreground: Bool | None
    score: ScoreSettings
    model: ScoringModel
    precision: str
    onnx: bytes
    fit: FitSettings
    calibration: CalibrationFit
    cell_threshold: float
    hits: Bool
    aligned: tuple[Prepared, ...]
    scores: NDArray[np.float64]
    spoilt: tuple[SpoiltPart, ...]
    highest: tuple[HighPart, ...]
    used: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    suspects: tuple[str, ...]

    @property
    def usual_scores(self) -> NDArray[np.float64]:
        """`scores` of the parts that are not suspect."""
        return self.scores[[name not in self.suspects for name in self.used]]

    @property
    def spoilt_scores(self) -> NDArray[np.float64]:
        """Frame scores of `spoilt`."""
        return np.array([each.score for each in self.spoilt])

    @property
    def n_synthetic_caught(self) -> int:
        """Of `spoilt`, how many the review threshold stops: a rough idea of sensitivity."""
        return int((self.spoilt_scores >= self.calibration.thresholds.review).sum())


def sharpened(trained: TrainedModel, bad_scores: NDArray[np.float64], settings: TrainSettings) -> TrainedModel:
    """`trained` with thresholds that know the scores (m,) of defective parts, see `calibrate_thresholds`."""
    fit = calibrate_thresholds(trained.usual_scores, settings.false_calls_per_1000, settings.seed, bad_scores)
    return replace(trained, calibration=fit)


def train_model(good: PictureSet, backbone: Backbone, settings: TrainSettings, progress: Progress) -> TrainedModel:
    """Template, alignment, features, fit, calibration.

    Raises: InputError when the good parts cannot be learnt from: they do not align, or too many are unlike the rest.
    """
    template, align, matcher = learn_alignment(good, settings, progress)
    network = None if matcher is None else matcher.onnx
    preparation = Preparation.build(template, good.colour, align, matcher=network, reduction=good.reduction)
    names, aligned, refused = align_all(good, preparation, progress)
    foreground = part_pixels(preparation, settings.scored, settings.part_px, good.size_px)
    if settings.precision in ROUNDED:
        progress("rounding to 8 bits", 0, 1)
    shown = [np.ascontiguousarray(each.tensor) for each in aligned[:_RANGE_PICTURES]]
    backbone = in_precision(on_grid(backbone, settings.grid_px), settings.precision, shown)
    if settings.precision in ROUNDED:
        progress("rounding to 8 bits", 1, 1)
    rig = Rig.build(backbone, preparation.input_size_px, foreground, settings)
    cells = np.stack([rig.cells(each.valid) for each in aligned])
    projection = rig.learn_projection(aligned, cells, progress)
    projected = rig.project(aligned, projection, progress)
    rig = rig.settled(aligned, projection, projected, cells, progress)
    exposure = rig.expose(aligned, projection, cells, progress)
    grids, levels = rig.held_out_grids(projection, projected, cells, progress, exposure)
    scores = rig.frame_scores(grids, aligned)
    scale = float(np.median(scores))
    grids, scores = grids / np.float32(scale), scores / scale
    suspect = outliers(scores)
    if suspect.mean() > 0.1:
        named = ", ".join(names[i] for i in np.flatnonzero(suspect)[:5])
        raise InputError(
            f"{int(suspect.sum())} of {len(names)} good parts look unlike the rest (e.g. {named}): "
            "the good set is contaminated or mixes products; look at them and take out what is not good"
        )
    model = rig.fit(projection, projected, cells, exposure and exposure.of(np.flatnonzero(~suspect)), ~suspect)
    model = model.scaled(scale, LEAST_LEVEL_SHARE * float(np.median(levels)))
    level = cell_threshold(grids[~suspect], cells[~suspect])
    calibration = calibrate_thresholds(scores[~suspect], settings.false_calls_per_1000, settings.seed)
    usual = [each for each, odd in zip(aligned, suspect, strict=True) if not odd]
    return TrainedModel(
        template=template,
        align=align,
        matcher=matcher,
        foreground=foreground,
        score=rig.mapper.settings,
        model=model,
        precision=backbone.precision,
        onnx=model.export(backbone, preparation.input_size_px),
        fit=rig.settings.fit,
        calibration=calibration,
        spoilt=tuple(spoil_parts(rig, model, usual, progress)),
        highest=tuple(highest_parts(rig, names, aligned, grids, scores)),
        cell_threshold=level,
        hits=cells & (grids > np.float32(level)),
        aligned=tuple(aligned),
        scores=scores,
        used=tuple(names),
        refused=tuple(refused),
        suspects=tuple(names[i] for i in np.flatnonzero(suspect)),
    )

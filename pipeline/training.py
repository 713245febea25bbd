"""Training a product: good pictures in, a complete bundle out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.align_settings import AlignSettings
from engines.backbone import Backbone, quantised
from engines.combined_model import CombinedModel
from engines.feature_fit import FitSettings, Scatter, fit_model, fit_projection
from engines.feature_model import GRID_ORIGIN_PX, Float
from engines.features import FeatureExtractor, grid_size
from engines.manifest import ScoreSettings
from engines.mapping_fit import Exposure, fit_mapping
from engines.scoring_model import ScoringModel
from engines.synthetic_defects import spoil_within
from pipeline.calibration import CalibrationFit, calibrate_thresholds, cell_threshold, outliers
from pipeline.exposure import expose
from pipeline.good_parts import PictureSet
from pipeline.matcher import Matcher
from pipeline.placing import Progress, align_all, learn_alignment, part_pixels
from pipeline.preparation import Preparation, Prepared
from pipeline.score_map import ScoreMapper, scored_pixels
from pipeline.shrinkage import choose_shrinkage
from pipeline.train_settings import TrainSettings
from schemas.errors import InputError

__all__ = ["Progress", "TrainSettings", "TrainedModel", "train_model"]
Bool = NDArray[np.bool_]

_PROJECTION_PICTURES = 96
_RANGE_PICTURES = 32
LEAST_LEVEL_SHARE = 0.5
"""A frame's level counts as this share of good parts' median level at least."""
_N_FOLDS = 5
_N_SYNTHETIC = 40
_WIDEST_SIGMA_PX = 4.0
"""Half a grid cell: on large pictures more would drown small defects."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """All that a bundle is made of.

    `scores` (n,): frame scores of the good parts in `used`, each by a model fitted without it. `cell_threshold`:
    see `pipeline.calibration.cell_threshold`. `hits` (n, h, w): held-out grid cells of the parts in `used` above it.
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
    n_synthetic: int
    n_synthetic_caught: int
    """Synthetic defects put onto good parts, and those the review threshold stops: a rough idea of sensitivity."""
    used: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    suspects: tuple[str, ...]

    @property
    def usual_scores(self) -> NDArray[np.float64]:
        """`scores` of the parts that are not suspect."""
        return self.scores[[name not in self.suspects for name in self.used]]


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
    preparation = Preparation.build(template, good.colour, align, matcher=network)
    names, aligned, refused = align_all(good, preparation, progress)
    foreground = part_pixels(preparation, settings.part_px, good.size_px)
    if settings.precision == "int8":
        progress("rounding to 8 bits", 0, 1)
        backbone = quantised(backbone, [np.ascontiguousarray(each.tensor) for each in aligned[:_RANGE_PICTURES]])
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
    n_synthetic, n_caught = rig.catch_synthetic(model, aligned, calibration.thresholds.review, progress)
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
        n_synthetic=n_synthetic,
        n_synthetic_caught=n_caught,
        cell_threshold=level,
        hits=cells & (grids > np.float32(level)),
        aligned=tuple(aligned),
        scores=scores,
        used=tuple(names),
        refused=tuple(refused),
        suspects=tuple(names[i] for i in np.flatnonzero(suspect)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """What every step of one training shares."""

    backbone: Backbone
    size_px: tuple[int, int]
    foreground: Bool | None
    settings: TrainSettings
    mapper: ScoreMapper

    @classmethod
    def build(
        cls, backbone: Backbone, size_px: tuple[int, int], foreground: Bool | None, settings: TrainSettings
    ) -> Rig:
        sigma_px = min(max(size_px) / 96, _WIDEST_SIGMA_PX)
        score = ScoreSettings(grid_origin_px=GRID_ORIGIN_PX, smooth_sigma_px=sigma_px, border_px=2)
        return cls(backbone, size_px, foreground, settings, ScoreMapper.build(score, size_px, grid_size(size_px)))

    def scored(self, valid: Bool | None) -> Bool | None:
        return scored_pixels(valid, self.foreground, self.mapper.settings.border_px)

    def score_map(self, grid: NDArray[np.float32], valid: Bool | None) -> NDArray[np.float32]:
        """(H, W) score map of a frame's `grid` (h, w), as the line draws it."""
        return self.mapper.map(grid, self.scored(valid), scored_pixels(valid, self.foreground, 0))

    def cells(self, valid: Bool | None) -> Bool:
        """(h, w) bool: the grid cells of a frame that count."""
        scored = self.scored(valid)
        if scored is None:
            return np.ones(grid_size(self.size_px), np.bool_)
        return self.mapper.cells(scored) > 0

    def learn_projection(self, aligned: Sequence[Prepared], cells: Bool, progress: Progress) -> Float:
        """(d, C) projection from how the features of good parts, a sample of them, vary."""
        rng = np.random.default_rng(self.settings.seed)
        chosen = np.sort(rng.permutation(len(aligned))[:_PROJECTION_PICTURES])
        extractor = FeatureExtractor(self.backbone, self.size_px, n_threads=self.settings.n_threads)
        scatter = Scatter(self.backbone.spec.channels, grid_size(self.size_px))
        for done, index in enumerate(chosen):
            progress("features", done, len(chosen))
            scatter.add(extractor.features(aligned[index].tensor[None])[0], cells[index])
        progress("features", len(chosen), len(chosen))
        fit = self.settings.fit
        if self.settings.localiser == "alm":
            fit = replace(fit, dimensions=self.settings.mapping.dimensions)
        return fit_projection(scatter.within(), fit, self.settings.seed)

    def project(self, aligned: Sequence[Prepared], projection: Float, progress: Progress) -> NDArray[np.float16]:
        """(N, d, h, w) projected features of every aligned good part."""
        extractor = FeatureExtractor(
            self.backbone, self.size_px, projection=projection, n_threads=self.settings.n_threads
        )
        parts = []
        for done, each in enumerate(aligned):
            progress("projecting", done, len(aligned))
            parts.append(extractor.features(each.tensor[None]).astype(np.float16))
        progress("projecting", len(aligned), len(aligned))
        return np.concatenate(parts)

    def settled(
        self, aligned: Sequence[Prepared], projection: Float, projected: NDArray[np.float16], cells: Bool,
        progress: Progress,
    ) -> Rig:  # fmt: skip
        """The same with the feature model's shrinkage chosen, where the settings leave it open."""
        s = self.settings
        if s.localiser == "alm" or s.fit.shrinkage is not None:
            return self
        extractor = FeatureExtractor(self.backbone, self.size_px, projection=projection, n_threads=s.n_threads)
        chosen = choose_shrinkage(self, extractor, projection, aligned, projected, cells, s.fit, s.seed, progress)
        return replace(self, settings=replace(s, fit=replace(s.fit, shrinkage=chosen)))

    def expose(
        self, aligned: Sequence[Prepared], projection: Float, cells: Bool, progress: Progress
    ) -> Exposure | None:
        """Generated defects on good parts; None where the localiser does not learn from any."""
        if self.settings.localiser == "distance" or self.settings.mapping.exposed_share == 0:
            return None
        extractor = FeatureExtractor(
            self.backbone, self.size_px, projection=projection, n_threads=self.settings.n_threads
        )
        scored = [self.scored(each.valid) for each in aligned]
        return expose(extractor, aligned, scored, cells, self.settings.mapping, self.settings.seed, progress)

    def fit(
        self,
        projection: Float,
        projected: NDArray[np.float16],
        cells: Bool,
        exposure: Exposure | None = None,
        usual: Bool | None = None,
    ) -> ScoringModel:
        """The model that `settings.localiser` asks for. `usual` (N,): parts a mapping network learns from; None: all.

        The feature model leaves out by itself, place by place, what is unlike the rest.
        """
        s = self.settings
        if s.localiser == "distance":
            return fit_model(projection, projected, cells, s.fit, s.seed)
        chosen = slice(None) if usual is None or usual.all() else usual
        mapping = fit_mapping(projection, projected[chosen], cells[chosen], exposure, s.mapping, s.seed)
        if s.localiser == "alm":
            return mapping
        return CombinedModel(fit_model(projection, projected[chosen], cells[chosen], s.fit, s.seed), mapping)

    def held_out_grids(
        self,
        projection: Float,
        projected: NDArray[np.float16],
        cells: Bool,
        progress: Progress,
        exposure: Exposure | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(N, h, w) score grids and (N,) levels, each picture's by a model fitted to the other folds."""
        levels = np.zeros(len(projected), np.float32)
        grids = np.zeros((len(projected), *projected.shape[2:]), np.float32)
        for done, held in enumerate(_folds(len(projected), self.settings.seed)):
            progress("calibrating", done, _N_FOLDS)
            rest = np.setdiff1d(np.arange(len(projected)), held)
            model = self.fit(projection, projected[rest], cells[rest], exposure and exposure.of(rest))
            grids[held], levels[held] = model.judge(projected[held])
        progress("calibrating", _N_FOLDS, _N_FOLDS)
        return grids, levels

    def frame_scores(self, grids: NDArray[np.float32], aligned: Sequence[Prepared]) -> NDArray[np.float64]:
        """(N,) frame scores, as the line computes them."""
        maps = (self.score_map(grid, each.valid) for grid, each in zip(grids, aligned, strict=True))
        return np.array([self.mapper.frame_score(score_map) for score_map in maps])

    def catch_synthetic(
        self, model: ScoringModel, aligned: Sequence[Prepared], review: float, progress: Progress
    ) -> tuple[int, int]:
        """Of up to forty synthetic defects, one a good part, how many reach `review`: (of, caught)."""
        rng = np.random.default_rng(self.settings.seed)
        extractor = FeatureExtractor(
            self.backbone, self.size_px, projection=model.projection, n_threads=self.settings.n_threads
        )
        n = min(_N_SYNTHETIC, len(aligned))
        caught = 0
        for done, each in enumerate(aligned[:n]):
            progress("sensitivity", done, n)
            picture = np.ascontiguousarray(each.tensor.transpose(1, 2, 0))
            spoilt, _ = spoil_within(rng, picture, self.scored(each.valid))
            grid = model.score(extractor.features(np.ascontiguousarray(spoilt.transpose(2, 0, 1))[None]))
            caught += bool(self.frame_scores(grid, [each])[0] >= review)
        progress("sensitivity", n, n)
        return n, caught


def _folds(n: int, seed: int) -> Iterator[NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(n)
    return iter(np.array_split(order, _N_FOLDS))

"""What every step of one training shares: features, held-out grids, frame scores, and what is fitted to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.backbone import Backbone
from engines.combined_model import CombinedModel
from engines.feature_fit import Scatter, fit_model, fit_projection
from engines.feature_model import Float
from engines.features import FeatureExtractor, grid_origin_px, grid_size
from engines.manifest import ScoreSettings
from engines.mapping_fit import Exposure, fit_mapping
from engines.scoring_model import ScoringModel
from pipeline.exposure import expose
from pipeline.placing import Progress
from pipeline.preparation import Prepared
from pipeline.score_map import ScoreMapper, scored_pixels
from pipeline.train_settings import TrainSettings
from pipeline.variance_floor import choose_floor

Bool = NDArray[np.bool_]
_PROJECTION_PICTURES = 96
_N_FOLDS = 5
_WIDEST_SIGMA_PX = 4.0
"""Half a cell of the usual grid: on large pictures more would drown small defects."""


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
        stride_px = backbone.grid_stride_px
        score = ScoreSettings(
            grid_stride_px=stride_px, grid_origin_px=grid_origin_px(stride_px), smooth_sigma_px=sigma_px, border_px=4
        )
        mapper = ScoreMapper.build(score, size_px, grid_size(size_px, stride_px))
        return cls(backbone, size_px, foreground, settings, mapper)

    def scored(self, valid: Bool | None) -> Bool | None:
        return scored_pixels(valid, self.foreground, self.mapper.settings.border_px)

    def score_map(self, grid: NDArray[np.float32], valid: Bool | None) -> NDArray[np.float32]:
        """(H, W) score map of a frame's `grid` (h, w), as the line draws it."""
        return self.mapper.map(grid, self.scored(valid), scored_pixels(valid, self.foreground, 0))

    def cells(self, valid: Bool | None) -> Bool:
        """(h, w) bool: the grid cells of a frame that count."""
        scored = self.scored(valid)
        if scored is None:
            return np.ones(grid_size(self.size_px, self.backbone.grid_stride_px), np.bool_)
        return self.mapper.cells(scored) > 0

    def learn_projection(self, aligned: Sequence[Prepared], cells: Bool, progress: Progress) -> Float:
        """(d, C) projection from how the features of good parts, a sample of them, vary."""
        rng = np.random.default_rng(self.settings.seed)
        chosen = np.sort(rng.permutation(len(aligned))[:_PROJECTION_PICTURES])
        extractor = FeatureExtractor(self.backbone, self.size_px, n_threads=self.settings.n_threads)
        scatter = Scatter(self.backbone.spec.channels, grid_size(self.size_px, self.backbone.grid_stride_px))
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
        """The same with the feature model's variance floor chosen, where the settings leave it open."""
        s = self.settings
        if s.localiser == "alm" or s.fit.floor is not None:
            return self
        extractor = FeatureExtractor(self.backbone, self.size_px, projection=projection, n_threads=s.n_threads)
        chosen = choose_floor(self, extractor, projection, aligned, projected, cells, s.fit, s.seed, progress)
        return replace(self, settings=replace(s, fit=replace(s.fit, floor=chosen)))

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
        mapping = fit_mapping(projection, projected[chosen], cells[chosen], exposure, s.mapping, s.seed, s.device)
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


def _folds(n: int, seed: int) -> Iterator[NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(n)
    return iter(np.array_split(order, _N_FOLDS))

"""Inspection: bytes in, decision out. The same code for `sightline inspect`, evaluation and the line.

The outcome depends on the picture's bytes, the bundle and the recipe's rules, and on nothing else: not on
the frames beside it, the time, or who asks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.engine import NonFiniteScores, load_engine
from engines.geometry import Transform
from pipeline.decision import RecipeRules, decide
from pipeline.decode import DEFAULT_MAX_PIXELS, DecodeRules, decode
from pipeline.defects import find_defects
from pipeline.field_reader import FieldReader, FieldsRead, digital_fields
from pipeline.fusion_members import Fused, Fuser
from pipeline.overlay import heat_map_png
from pipeline.preparation import Placed, Preparation, Prepared
from pipeline.score_map import UNSCORED, ScoreMapper, scored_pixels
from schemas.errors import DeadLetterReason, PoisonFrame
from schemas.frame import Parameter
from schemas.verdict import Alignment, Box, Defect, FieldReading, Outcome, Reason

__all__ = ["Inspection", "InspectionRequest", "Inspector", "RecipeRules", "Refusal"]
HeatMaps = Literal["suspect", "all", "none"]
"""Which inspections carry a heat map; suspect: fail and review."""


@dataclass(frozen=True, slots=True)
class InspectionRequest:
    """One picture as the camera encoded it, and machine parameters that are known digitally."""

    picture: bytes
    content_type: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """What was found in one frame.

    `aligned_picture` (H, W) uint8 and `score_grid` (h, w) float32 (NaN: not scored) on the template, `score_map`
    (H, W) float32; all None when the frame was not inspected. `transform` (2, 3) template px -> frame px.
    `localise_ms` is the frame's share of its batch. `fields`: machine parameters, printed or digital; `read_ms` None
    when none were looked for. `fused`: None when picture and fields were not.
    """

    outcome: Outcome
    reason: Reason | None
    detail: str
    score: float | None
    defects: tuple[Defect, ...]
    alignment: Alignment
    aligned_picture: NDArray[np.uint8] | None
    score_grid: NDArray[np.float32] | None
    score_map: NDArray[np.float32] | None
    transform: Transform | None
    frame_size_px: tuple[int, int]
    heat_map_png: bytes | None
    decode_ms: float
    align_ms: float
    localise_ms: float
    fields: tuple[FieldReading, ...] = ()
    read_ms: float | None = None
    fused: Fused | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The picture is poison: it can never be inspected, and becomes a dead letter."""

    reason: DeadLetterReason
    detail: str


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the steps before the engine took on one frame."""

    frame_size_px: tuple[int, int]
    decode_ms: float
    align_ms: float
    read: FieldsRead
    fused: Fused | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """A frame on its template, waiting for the engine."""

    prepared: Prepared
    alignment: Alignment
    at: _Measured


class Inspector:
    """One loaded bundle on one backend. Not for two threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        backend: str = "auto",
        n_threads: int = 1,
        cache_dir: Path | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """Load, build and warm up; the first frame then takes as long as any other.

        Args: backend: one of `engines.engine.BACKENDS` or auto. n_threads: of the engine, and of OpenCV in this
            process. cache_dir: where the choice and compiled engines are kept. max_pixels: larger pictures are bombs.
        Raises: SetupError when bundle, template or backend cannot be used.
        """
        cv2.setNumThreads(n_threads)
        self.bundle = bundle
        self._preparation = Preparation.of_bundle(bundle, max_pixels)
        self._foreground = bundle.foreground()
        self._fields = FieldReader.of_bundle(bundle, n_threads)
        self._fuser = Fuser.of_bundle(bundle, n_threads)
        self._engine = load_engine(bundle, backend, n_threads, cache_dir)
        width, height = bundle.manifest.input_size_px
        grid = self._engine.infer(np.zeros((1, 3, height, width), np.uint8))
        self._mapper = ScoreMapper.build(
            bundle.manifest.score, bundle.manifest.input_size_px, (grid.shape[2], grid.shape[3])
        )
        ready = self._mapper.map(grid[0, 0], np.ones((height, width), np.bool_))  # compiles its kernels
        self._mapper.frame_score(ready)
        self._fixed: tuple[tuple[Box, ...], NDArray[np.bool_] | None] = ((), self._foreground)

    @property
    def backend(self) -> str:
        """Backend in use, for provenance."""
        return self._engine.backend

    @property
    def precision(self) -> str:
        """Arithmetic in use, for provenance."""
        return self._engine.precision

    @property
    def decode_rules(self) -> DecodeRules:
        """How pictures are decoded for this bundle."""
        return self._preparation.decode_rules

    def close(self) -> None:
        """Give back the engine."""
        self._engine.close()

    def inspect(
        self, requests: Sequence[InspectionRequest], recipe: RecipeRules, heat_maps: HeatMaps = "suspect"
    ) -> list[Inspection | Refusal]:
        """Inspect pictures; answers in the same order.

        One bad picture never touches its neighbours, and a picture's answer is the same alone and in a batch.
        Raises: EngineFault when the backend itself fails.
        """
        prepared = [self._prepare(request) for request in requests]
        ready = [each for each in prepared if isinstance(each, _Ready)]
        answers = iter(self._localise(ready, recipe, heat_maps))
        return [next(answers) if isinstance(each, _Ready) else each for each in prepared]

    def _prepare(self, request: InspectionRequest) -> _Ready | Inspection | Refusal:
        start = time.perf_counter()
        try:
            picture = decode(request.picture, request.content_type, self._preparation.decode_rules)
        except PoisonFrame as poison:
            return Refusal(poison.reason, poison.detail)
        decode_ms = _ms_since(start)
        if self._fields is None:
            read = digital_fields(request.parameters)
        else:
            read = self._fields.read(picture.grey, request.parameters)
        decoded = _Measured(picture.size_px, decode_ms, 0.0, read)
        expected = self.bundle.manifest.frame_size_px
        if picture.size_px != expected:
            detail = "frame is {}x{} px, the recipe's bundle expects {}x{}".format(*picture.size_px, *expected)
            return _uninspected(Reason.WRONG_SIZE, detail, None, decoded)
        start = time.perf_counter()
        placed, prepared = self._preparation.prepare(picture)
        at = replace(decoded, align_ms=_ms_since(start))
        if prepared is None:
            return _uninspected(Reason.MISALIGNED, placed.detail, placed, at)
        if self._fuser is not None:
            at = replace(at, fused=self._fuser.fuse(picture, read.readings()))
        return _Ready(prepared, placed.alignment, at)

    def _localise(
        self, frames: Sequence[_Ready], recipe: RecipeRules, heat_maps: HeatMaps
    ) -> list[Inspection | Refusal]:
        if not frames:
            return []
        start = time.perf_counter()
        grids = self._infer(frames)
        share_ms = _ms_since(start) / len(frames)
        return [
            self._judge(frame, grid, recipe, heat_maps, share_ms) if not isinstance(grid, Refusal) else grid
            for frame, grid in zip(frames, grids, strict=True)
        ]

    def _infer(self, frames: Sequence[_Ready]) -> list[NDArray[np.float32] | Refusal]:
        """A (h, w) score grid a frame, or why the model cannot judge it."""
        try:
            return [grid[0] for grid in self._engine.infer(_batch(frames))]
        except NonFiniteScores as fault:
            if len(frames) == 1:
                return [Refusal(DeadLetterReason.ENGINE_FAULT, str(fault))]
            return [self._infer([frame])[0] for frame in frames]

    def _judge(
        self, frame: _Ready, grid: NDArray[np.float32], recipe: RecipeRules, heat_maps: HeatMaps, share_ms: float
    ) -> Inspection | Refusal:
        start = time.perf_counter()
        settings = self.bundle.manifest.score
        fixed = self._fixed_pixels(recipe.ignore_px)
        scored = scored_pixels(frame.prepared.valid, fixed, settings.border_px)
        cells = None if scored is None else self._mapper.cells(scored)
        score_map = self._mapper.map(grid, scored, scored_pixels(frame.prepared.valid, fixed, 0), cells)
        score = self._mapper.frame_score(score_map, recipe.min_area_px)
        if score == UNSCORED:
            return self._unscorable(frame, recipe)
        outcome, reason = decide(score, recipe.thresholds)
        detail, fused = "", frame.at.fused
        if fused is not None and fused.defective:
            outcome, reason = Outcome.FAIL, None
            detail = f"picture and fields together: defective with probability {fused.probability:.2f}"
        if outcome is Outcome.PASS and frame.at.read.too_few:
            outcome, reason, detail = Outcome.REVIEW, Reason.FIELDS_UNREADABLE, frame.at.read.detail
        defects: tuple[Defect, ...] = ()
        if outcome is not Outcome.PASS:
            defects = find_defects(
                score_map,
                recipe.thresholds.review,
                recipe.min_area_px,
                frame.prepared.transform,
                frame.at.frame_size_px,
            )
        heat_map = None
        if heat_maps == "all" or (heat_maps == "suspect" and outcome is not Outcome.PASS):
            heat_map = heat_map_png(frame.prepared.grey, score_map, recipe.thresholds)
        return Inspection(
            outcome, reason, detail, score, defects, frame.alignment, frame.prepared.grey,
            self._mapper.masked(grid, cells), score_map,
            frame.prepared.transform, frame.at.frame_size_px, heat_map, frame.at.decode_ms, frame.at.align_ms,
            share_ms + _ms_since(start), frame.at.read.readings(), frame.at.read.read_ms,
            fused,
        )  # fmt: skip

    def _unscorable(self, frame: _Ready, recipe: RecipeRules) -> Inspection:
        """Too few pixels may be scored: the recipe ignores them, or the part lies outside the frame."""
        fixed = self._fixed_pixels(recipe.ignore_px)
        least = max(self.bundle.manifest.score.robust_area_px, recipe.min_area_px)
        placed = Placed(frame.alignment, frame.prepared.transform, "")
        if fixed is not None and np.count_nonzero(fixed) < least:
            detail = f"foreground and ignore_px leave fewer than {least} px of the template to score; change the recipe"
            return _uninspected(Reason.NO_RECIPE, detail, placed, frame.at)
        detail = f"fewer than {least} px of the part lie in the frame"
        return _uninspected(Reason.MISALIGNED, detail, placed, frame.at)

    def _fixed_pixels(self, ignore_px: tuple[Box, ...]) -> NDArray[np.bool_] | None:
        """Foreground less the recipe's ignored boxes, kept for the next frame of the same recipe."""
        if self._fixed[0] != ignore_px:
            width, height = self.bundle.manifest.input_size_px
            fixed = np.ones((height, width), np.bool_) if self._foreground is None else self._foreground.copy()
            for x, y, w, h in ignore_px:
                fixed[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = False
            self._fixed = (ignore_px, fixed)
        return self._fixed[1]


def _batch(frames: Sequence[_Ready]) -> NDArray[np.uint8]:
    """(N, 3, H, W) uint8."""
    batch = np.empty((len(frames), *frames[0].prepared.tensor.shape), np.uint8)
    for i, frame in enumerate(frames):
        batch[i] = frame.prepared.tensor
    return batch


def _uninspected(reason: Reason, detail: str, placed: Placed | None, at: _Measured) -> Inspection:
    return Inspection(
        Outcome.UNINSPECTED, reason, detail, None, (), placed.alignment if placed else Alignment(), None, None, None,
        placed.transform if placed else None, at.frame_size_px, None, at.decode_ms, at.align_ms, 0.0,
        at.read.readings(), at.read.read_ms,
    )  # fmt: skip


def _ms_since(start: float) -> float:
    return 1000 * (time.perf_counter() - start)

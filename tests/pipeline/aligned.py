"""Builders of aligned frames: a textured part, noise, marks in the picture, hits on the score grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.baseline import Baseline, learn_baseline
from schemas.aligned import AlignedFrame, AlignedHeader
from schemas.recipe import WindowSettings

START = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
STILL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
Box = tuple[int, int, int, int]


@dataclass(slots=True)
class Line:
    """A simulated station. `size_px`: side of template and frame; `grid`: side of the score grid."""

    size_px: int = 64
    grid: int = 16
    window: WindowSettings = field(default_factory=lambda: WindowSettings(frames=15, clear_after_frames=20))
    background: float = 1e-3
    noise_grey: float = 3.0
    seed: int = 0
    _part: NDArray[np.float32] | None = None

    def part(self) -> NDArray[np.float32]:
        """The product as designed, (H, W)."""
        if self._part is None:
            texture = np.random.default_rng(99).normal(0, 1, (self.size_px, self.size_px)).astype(np.float32)
            smooth = cv2.GaussianBlur(texture, (0, 0), 3)
            self._part = (120 + smooth / smooth.std() * 25).astype(np.float32)
        return self._part

    def picture(self, number: int, mark: Box | None = None, depth: float = 60.0) -> NDArray[np.uint8]:
        """Part `number` as the camera sees it; `mark` darkens a box."""
        rng = np.random.default_rng([self.seed, number])
        grey = self.part() + rng.normal(0, self.noise_grey, (self.size_px, self.size_px)).astype(np.float32)
        if mark is not None:
            x, y, w, h = mark
            grey[y : y + h, x : x + w] -= depth
        return np.clip(grey, 0, 255).astype(np.uint8)

    def frame(
        self,
        number: int,
        mark: Box | None = None,
        *,
        hit: Box | None = None,
        epoch: str | None = "boot1",
        sequence: int | None = -1,
        transform: tuple[float, ...] = STILL,
        frame_id: str | None = None,
        revision: int = 1,
        signals: Mapping[str, float] | None = None,
    ) -> AlignedFrame:
        """Aligned frame `number`. `mark`: in the picture and on the grid; `hit`: on the grid alone, in template px."""
        rng = np.random.default_rng([self.seed + 1, number])
        grid = (rng.random((self.grid, self.grid)) < self.background).astype(np.float32)
        place = mark or hit
        if place is not None:
            cell = self.size_px // self.grid
            x, y, w, h = place
            grid[y // cell : (y + h - 1) // cell + 1, x // cell : (x + w - 1) // cell + 1] = 1.0
        a, b, c, d, e, f = transform
        header = AlignedHeader(
            frame_id=frame_id or f"frame-{epoch}-{number}",
            station="lab/line1/cam0",
            product="plate",
            captured_at=START + timedelta(seconds=number),
            epoch=epoch,
            sequence=number if sequence == -1 else sequence,
            bundle_sha256="0" * 64,
            template_sha256="1" * 64,
            recipe_revision=revision,
            score=0.1,
            residual=0.02,
            cell_threshold=0.5,
            transform=(a, b, c, d, e, f),
            frame_size_px=(self.size_px, self.size_px),
            window=self.window,
            signals=signals or {},
        )
        return AlignedFrame(header, self.picture(number, mark), grid)

    def baseline(self, n_frames: int = 60) -> Baseline:
        """Learnt from good parts that never come again."""
        return learn_baseline([self.picture(10_000 + number) for number in range(n_frames)])

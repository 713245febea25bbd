"""Bundles of the demo's plate, one a precision, as `sightline train` makes them; and what judges their score grids."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.precision import Precision
from pipeline.bundling import train_bundle
from pipeline.good_parts import picture_paths
from pipeline.plate import SimulatedLine, write_good_parts
from pipeline.score_map import ScoreMapper
from pipeline.train_settings import TrainSettings

SIZE_PX = 128


def plate_bundle(folder: Path, precision: Precision) -> Bundle:
    """A bundle in `precision`, learnt from plates that are written to `folder` and lie still."""
    good = folder / "good"
    if not good.is_dir():
        write_good_parts(good, 20, size_px=SIZE_PX)
    out = folder / f"{precision}.bundle"
    train_bundle(
        "plate",
        picture_paths(good),
        [],
        backbone="student",
        weights=None,
        colour="auto",
        settings=TrainSettings(motion="none", precision=precision),
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
        out=out,
        progress=lambda what, done, total: None,
    )
    return Bundle.open(out)


def plate_frames(n: int) -> list[NDArray[np.uint8]]:
    """`n` model inputs (3, H, W) uint8 that no bundle has seen, every second one faulty."""
    lines = [SimulatedLine(size_px=SIZE_PX, defect_rate=rate) for rate in (0.0, 1.0)]
    pictures = (lines[index % 2].unit(900 + index).picture for index in range(n))
    return [np.ascontiguousarray(np.broadcast_to(each, (3, SIZE_PX, SIZE_PX))) for each in pictures]


def judge_of(bundle: Bundle, grid: tuple[int, int]) -> Callable[[NDArray[np.float32]], float]:
    """The line's own way from a score grid (h, w) to a frame's score."""
    mapper = ScoreMapper.build(bundle.manifest.score, bundle.manifest.input_size_px, grid)
    foreground = bundle.foreground()
    return lambda scores: mapper.frame_score(mapper.map(scores, foreground))

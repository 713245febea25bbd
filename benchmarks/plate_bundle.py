"""A bundle of the demo's plate, trained for a benchmark."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pipeline.bundling import train_bundle
from pipeline.plate import write_good_parts
from pipeline.train_settings import TrainSettings


def train_plates(folder: Path, n_good: int, frame_side_px: int, settings: TrainSettings) -> Path:
    """Train on `n_good` square plates of `frame_side_px`, written below `folder`; the bundle's path."""
    path = folder / "plate.bundle"
    train_bundle(
        "plate",
        write_good_parts(folder / "good", n_good, size_px=frame_side_px),
        [],
        backbone="student",
        weights=None,
        colour="grey",
        settings=settings,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        out=path,
        progress=lambda what, done, total: None,
    )
    return path

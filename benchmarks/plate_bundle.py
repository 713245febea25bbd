"""A bundle of the demo's plate, trained for a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.bundling import train_bundle
from pipeline.plate import write_good_parts
from pipeline.train_settings import TrainSettings
from pipeline.training_summary import TrainingSummary

BUNDLE = "plate.bundle"


def train_plates(folder: Path, n_good: int, frame_side_px: int, settings: TrainSettings) -> Path:
    """Train on `n_good` square plates of `frame_side_px`, written below `folder`; the bundle's path."""
    train_on_plates(folder, write_good_parts(folder / "good", n_good, size_px=frame_side_px), [], settings)
    return folder / BUNDLE


def train_on_plates(
    folder: Path, good: Sequence[Path], bad: Sequence[Path], settings: TrainSettings
) -> TrainingSummary:
    """Train on pictures of plates, `good` ones and `bad` ones, into `BUNDLE` below `folder`."""
    return train_bundle(
        "plate",
        good,
        bad,
        backbone="student",
        weights=None,
        colour="grey",
        settings=settings,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        out=folder / BUNDLE,
        progress=lambda what, done, total: None,
    )

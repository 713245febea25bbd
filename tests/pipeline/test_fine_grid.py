"""A product learnt on the fine grid: its bundle says so, and all that opens it goes by what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.bundle import BASELINE, Bundle
from pipeline.baseline import Baseline
from pipeline.bundling import train_bundle
from pipeline.folder_inspection import inspect_files
from pipeline.good_parts import picture_paths
from pipeline.inspection import Inspection, Inspector, RecipeRules
from pipeline.recalibration import recalibrate
from pipeline.train_settings import TrainSettings
from tests.engines.exported import pictures

SIZE_PX = 96
CELLS = SIZE_PX // 4


def quiet(what: str, done: int, total: int) -> None:
    """Show no progress."""


def write(folder: Path, shown: NDArray[np.uint8]) -> Path:
    """`shown` (n, 3, H, W) as pictures in `folder`."""
    folder.mkdir()
    for number, each in enumerate(shown):
        cv2.imwrite(str(folder / f"{number:03d}.png"), each.transpose(1, 2, 0))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fine")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    out = folder / "fine.bundle"
    train_bundle(
        "scene",
        picture_paths(write(folder / "good", pictures(20, SIZE_PX, SIZE_PX))),
        [],
        backbone="student",
        weights=None,
        colour="auto",
        settings=TrainSettings(motion="none", grid_px=4),
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
        out=out,
        progress=quiet,
    )
    return Bundle.open(out)


def inspected(bundle: Bundle, folder: Path) -> list[Inspection]:
    inspector = Inspector(bundle, backend="onnxruntime")
    try:
        return list(inspect_files(inspector, picture_paths(folder), RecipeRules.of_manifest(bundle.manifest), quiet))
    finally:
        inspector.close()


def test_manifest_parity_gate_and_baseline_know_the_fine_grid(bundle: Bundle) -> None:
    score, parity = bundle.manifest.score, bundle.manifest.parity
    assert (score.grid_stride_px, score.grid_origin_px) == (4.0, 1.5)
    assert bundle.manifest.training.figures["grid_px"] == 4
    assert parity is not None and parity.holds and len(parity.entries) > 1
    background = Baseline.from_bytes(bundle.members[BASELINE]).background
    assert background is not None and background.shape == (CELLS, CELLS)


def test_a_small_spot_scores_highest_where_it_lies(bundle: Bundle, folder: Path) -> None:
    spoilt = pictures(2, SIZE_PX, SIZE_PX, seed=5)
    spoilt[0, :, 30:36, 60:66] = 255
    spoilt[1, :, 70:76, 21:27] = 0
    for found, (x, y) in zip(inspected(bundle, write(folder / "bad", spoilt)), ((63, 33), (24, 73)), strict=True):
        assert found.score_grid is not None and found.score_grid.shape == (CELLS, CELLS)
        assert found.score_map is not None and found.score is not None
        top, left = np.unravel_index(found.score_map.argmax(), found.score_map.shape)
        assert abs(left - x) <= 4 and abs(top - y) <= 4
        assert found.score > bundle.manifest.thresholds.review


def test_thresholds_are_found_anew_on_the_fine_grid(bundle: Bundle, folder: Path) -> None:
    fresh = write(folder / "fresh", pictures(20, SIZE_PX, SIZE_PX, seed=9))
    changed, found = recalibrate(bundle, picture_paths(fresh), [], 20.0, n_threads=1, seed=0, progress=quiet)
    assert found.n_good == 20
    assert changed.manifest.score == bundle.manifest.score

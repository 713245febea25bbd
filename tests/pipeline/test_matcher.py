"""A bundle trained to start from the matching network carries it, and the line runs it without torch."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.bundle import MATCHER, Bundle
from pipeline.bundling import train_bundle
from pipeline.good_parts import picture_paths
from pipeline.plate import write_good_parts
from pipeline.training import TrainSettings
from pipeline.training_summary import TrainingSummary
from schemas.errors import InputError

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # importing it fails
import cv2
from engines.bundle import Bundle
from pipeline.decode import Picture
from pipeline.preparation import Preparation
placed, _ = Preparation.of_bundle(Bundle.open(sys.argv[1])).prepare(Picture(cv2.imread(sys.argv[2], 0), None))
print(placed.alignment.status.value)
"""


def train(good: Path, out: Path, **wishes: object) -> TrainingSummary:
    settings = TrainSettings(align_start="network", network_steps=6, **wishes)  # type: ignore[arg-type]
    return train_bundle(
        "plate", picture_paths(good), [], backbone="student", weights=None, colour="grey", settings=settings,
        created_at=datetime(2030, 1, 1, tzinfo=UTC), out=out, progress=lambda what, done, total: None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_good_parts(folder, 12, size_px=128)
    return folder


def test_the_bundle_carries_the_network_and_the_line_runs_it_without_torch(good: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'sightline[train]'")
    out = tmp_path / "plate.bundle"
    checkpoint = out.with_suffix(".matcher.npz")
    summary = train(good, out, network_checkpoint=checkpoint, align_image="edges")
    bundle = Bundle.open(out)
    align = bundle.manifest.align
    assert align is not None and (align.start, align.image) == ("network", "edges")
    assert MATCHER in bundle.members
    assert summary.n_matched_same == summary.n_matched == 12, "the search stands in where the network is untrained"
    assert not checkpoint.exists()
    shown = cv2.imread(str(out.with_suffix(".matcher.png")), cv2.IMREAD_GRAYSCALE)
    assert shown is not None and np.ptp(shown) > 50
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(out), str(picture_paths(good)[0])],
        capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert ran.stdout.strip() == "aligned", ran.stderr


def test_parts_that_lie_still_need_no_network(good: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--motion none"):
        train(good, tmp_path / "still.bundle", motion="none")

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.accuracy_boards import judge_boards
from benchmarks.accuracy_data import NAMES, lay_out
from benchmarks.accuracy_naive import judge_naively
from benchmarks.accuracy_report import tables
from pipeline.evaluation import GOOD, find_pictures
from pipeline.plate import SimulatedLine, encode_png
from schemas.errors import InputError


@pytest.mark.parametrize("name", NAMES)
def test_every_set_is_laid_out_with_good_parts_to_train_and_labelled_ones_to_test(
    name: str, pictures_dir: Path, tmp_path: Path
) -> None:
    assert pictures_dir.is_dir()
    data = lay_out(name, tmp_path)
    assert len(list((data / "train" / "good").iterdir())) >= 20
    pictures = find_pictures(data)
    assert {picture.kind for picture in pictures} > {GOOD}
    for picture in pictures[-3:]:
        if picture.mask is not None:
            mask, shown = cv2.imread(str(picture.mask), 0), cv2.imread(str(picture.path), 0)
            assert mask is not None and shown is not None
            assert mask.shape == shown.shape and 0 < (mask > 127).mean() < 0.5


def test_pictures_that_are_not_there_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA", str(tmp_path))
    with pytest.raises(InputError, match="magnetic_tile is missing"):
        lay_out("magnetic_tile", tmp_path)


def test_the_naive_inspection_finds_a_bold_defect_on_plates_that_lie_still(tmp_path: Path) -> None:
    plate = SimulatedLine(size_px=64, defect_rate=0).unit(1).picture
    rng = np.random.default_rng(0)
    for folder, n in (("train/good", 12), ("test/good", 4), ("test/fault", 4)):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(n):
            shown = np.clip(plate + rng.normal(0, 3, plate.shape), 0, 255).astype(np.uint8)
            if folder == "test/fault":
                shown[20:30, 20:30] = 255 - shown[20:30, 20:30]
            (tmp_path / folder / f"{i}.png").write_bytes(encode_png(shown))
    mask = np.zeros(plate.shape, np.uint8)
    mask[20:30, 20:30] = 255
    (tmp_path / "ground_truth" / "fault").mkdir(parents=True)
    for i in range(4):
        (tmp_path / "ground_truth" / "fault" / f"{i}_mask.png").write_bytes(encode_png(mask))
    found = judge_naively(tmp_path)
    assert found.image_auroc == 1.0
    assert found.pixel_auroc > 0.98


@pytest.mark.slow
def test_a_tested_board_is_stopped_and_its_template_passes(pictures_dir: Path, tmp_path: Path) -> None:
    assert pictures_dir.is_dir()
    found = judge_boards(1, tmp_path, lambda text: None)
    assert (found.n_stopped, found.n_templates_stopped) == (1, 0)
    assert found.n_defects_found >= 0.9 * found.n_defects


def test_the_tables_show_losses_as_they_are() -> None:
    row = {"backbone": "student", "motion": "none", "input_px": 256, "n_good": 50, "n_bad": 100, "train_s": 6.1}
    row |= {"image_auroc": 0.794, "image_auroc_interval": [0.724, 0.861], "pixel_auroc": None}
    row |= {"false_calls_per_1000": 0.0, "escapes_per_1000": 970.0}
    boards: dict[str, float] = {
        "n_boards": 1,
        "n_stopped": 1,
        "n_templates_stopped": 0,
        "n_defects": 7,
        "n_defects_found": 6,
    }
    boards |= {"variations": 40, "input_px": 512, "pixel_auroc": 0.96, "pixel_ap": 0.45, "au_pro": 0.87}
    shown = tables({"figures": {"rows": {"tile/student/none": row}, "naive": {}, "deeppcb": boards}})
    assert "| 0.794 [0.724, 0.861] | - |" in shown
    assert "97 of 100" in shown
    assert "6 of 7 defects touched" in shown

"""The table's parts: the turned and cropped set is the same every time, and the peers find what they should."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.table import Pictures, judge_peer
from benchmarks.table_peers import Padim, PatchCore, Peer, Stages, farthest_points
from benchmarks.table_report import table
from benchmarks.table_rto import KEPT, write_rto
from engines.backbone_resnet import load_resnet18
from pipeline.plate import SimulatedLine, encode_png
from pipeline.preparation import Preparation
from schemas.errors import InputError
from tests.engines.test_backbone import random_resnet

SIDE_PX = 64


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty good plates to learn, three good and three with a bold square to judge."""
    root = tmp_path_factory.mktemp("labelled")
    plate = SimulatedLine(size_px=SIDE_PX, defect_rate=0).unit(1).picture
    rng = np.random.default_rng(0)
    for folder, n in (("train/good", 40), ("test/good", 3), ("test/fault", 3)):
        (root / folder).mkdir(parents=True)
        for i in range(n):
            shown = np.clip(plate + rng.normal(0, 3, plate.shape), 0, 255).astype(np.uint8)
            if folder == "test/fault":
                shown[24:40, 24:40] = 255 - shown[24:40, 24:40]
            (root / folder / f"{i}.png").write_bytes(encode_png(shown))
    mask = np.zeros(plate.shape, np.uint8)
    mask[24:40, 24:40] = 255
    (root / "ground_truth" / "fault").mkdir(parents=True)
    for i in range(3):
        (root / "ground_truth" / "fault" / f"{i}_mask.png").write_bytes(encode_png(mask))
    return root


def test_turning_and_cropping_keeps_the_layout_and_moves_masks_with_their_pictures(
    labelled: Path, tmp_path: Path
) -> None:
    made = write_rto(labelled, tmp_path / "rto")
    names = sorted(path.relative_to(labelled).as_posix() for path in labelled.rglob("*.png"))
    assert sorted(path.relative_to(made).as_posix() for path in made.rglob("*.png")) == names
    shown = cv2.imread(str(made / "test" / "fault" / "0.png"), cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(str(made / "ground_truth" / "fault" / "0_mask.png"), cv2.IMREAD_GRAYSCALE)
    assert shown is not None and mask is not None
    assert shown.shape == mask.shape == (int(KEPT * SIDE_PX), int(KEPT * SIDE_PX))
    assert set(np.unique(mask)) == {0, 255}


def test_the_same_seed_turns_alike_and_another_does_not(labelled: Path, tmp_path: Path) -> None:
    first, again, other = (write_rto(labelled, tmp_path / str(i), seed) for i, seed in enumerate((1, 1, 2)))
    picture = Path("test") / "good" / "1.png"
    assert (first / picture).read_bytes() == (again / picture).read_bytes() != (other / picture).read_bytes()


def test_a_folder_in_another_layout_cannot_be_turned(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_rto(tmp_path, tmp_path / "rto")


@pytest.mark.parametrize("kind", [Padim, PatchCore])
def test_a_peer_finds_a_bold_defect_on_plates_that_lie_still(kind: type[Peer], labelled: Path, tmp_path: Path) -> None:
    template = cv2.imread(str(labelled / "train" / "good" / "0.png"), cv2.IMREAD_GRAYSCALE)
    assert template is not None
    stages = Stages(load_resnet18(random_resnet(tmp_path / "r.npz")), (SIDE_PX, SIDE_PX), n_threads=1)
    pictures = Pictures.of(labelled, Preparation.build(np.asarray(template, np.uint8), "grey", None))
    found = judge_peer(kind(stages), pictures)  # type: ignore[call-arg]
    assert found.image_auroc == 1.0
    assert found.pixel_auroc > (0.9 if kind is Padim else 0.6)  # a bank of one patch in ten misses places of one part


def test_the_greedy_choice_takes_corners_before_what_lies_between() -> None:
    points = np.array([[0, 0], [1, 1], [10, 0], [9, 1], [0, 10], [10, 10]], np.float32)
    assert sorted(farthest_points(points, 4, first=0).tolist()) == [0, 2, 4, 5]
    assert sorted(farthest_points(points, 6, first=3).tolist()) == list(range(6))


def test_the_printed_table_keeps_a_set_together_and_marks_its_best() -> None:
    rows = {
        "mvtec_screw/ours student/aligned": {"image_auroc": 0.98, "pixel_auroc": 0.995, "pixel_ap": 0.3},
        "circuit_board/PaDiM/aligned": {"image_auroc": 0.8, "pixel_auroc": None},
        "mvtec_screw/PaDiM/aligned": {"image_auroc": 0.97, "pixel_auroc": 0.994, "pixel_ap": 0.4},
    }
    lines = table({"figures": {"rows": rows}}).splitlines()[2:]
    assert lines[0] == "| mvtec_screw | ours, student int8 | aligned | **0.980** | **0.995** | 0.300 | - |"
    assert lines[1] == "| mvtec_screw | PaDiM | aligned | 0.970 | 0.994 | **0.400** | - |"
    assert lines[2].startswith("| circuit_board | PaDiM | aligned | **0.800** | - |")

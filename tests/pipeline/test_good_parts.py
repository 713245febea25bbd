"""What cannot be learnt from is refused with what to do, before anything is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.good_parts import check_apart, good_paths, load_good_parts
from pipeline.plate import encode_png
from schemas.errors import InputError


def pictures(folder: Path, n: int, *, levels: int = 256) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        shown = rng.integers(0, levels, (48, 48)) * (255 // (levels - 1))
        (folder / f"{i:02d}.png").write_bytes(encode_png(shown.astype(np.uint8)))
    return folder


def test_a_folder_of_good_parts_is_taken_wherever_it_lies(tmp_path: Path) -> None:
    assert len(good_paths(pictures(tmp_path / "train" / "good", 3))) == 3
    pictures(tmp_path / "station" / "good", 3)
    assert len(good_paths(pictures(tmp_path / "station" / "morning", 4))) == 4


@pytest.mark.parametrize("kind", ["test/scratch", "ground_truth/scratch"])
def test_a_folder_of_defective_parts_is_refused_and_the_good_one_named(kind: str, tmp_path: Path) -> None:
    pictures((tmp_path / kind).parent / "good", 3)
    with pytest.raises(InputError, match=r"lies beside .*good, where data sets keep defective parts"):
        good_paths(pictures(tmp_path / kind, 12))


def test_a_whole_data_set_is_refused_and_its_good_parts_named(tmp_path: Path) -> None:
    pictures(tmp_path / "screw" / "train" / "good", 3)
    with pytest.raises(InputError, match=r"holds a data set, .*give .*train/good"):
        good_paths(tmp_path / "screw")


def test_masks_are_refused(tmp_path: Path) -> None:
    paths = good_paths(pictures(tmp_path / "masks", 12, levels=2))
    with pytest.raises(InputError, match="look like masks of defects"):
        load_good_parts(paths)


def test_a_picture_cannot_be_good_and_defective_at_once(tmp_path: Path) -> None:
    good, bad = pictures(tmp_path / "good", 3), pictures(tmp_path / "bad", 5)
    with pytest.raises(InputError, match="3 pictures are given both as good and as defective"):
        check_apart(sorted(good.iterdir()), sorted(bad.iterdir()))
    check_apart(sorted(good.iterdir()), sorted(bad.iterdir())[3:])


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 good pictures are too few"):
        load_good_parts(good_paths(pictures(tmp_path / "one", 1)))

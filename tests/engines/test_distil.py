from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.backbone_student import load_student
from engines.distil_pictures import CROP_PX, crops
from engines.synthetic_defects import spoil_within
from engines.textures import collage
from schemas.errors import InputError
from tests.engines.test_backbone import random_resnet


def test_procedural_pictures_repeat_with_their_seed_and_differ_from_each_other() -> None:
    first, again = (collage(np.random.default_rng(3), 64) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8
    rng = np.random.default_rng(0)
    assert len({collage(rng, 32).tobytes() for _ in range(8)}) == 8


def test_a_synthetic_defect_changes_a_region_where_it_was_asked_for() -> None:
    picture = np.full((64, 96, 3), 120, np.uint8)
    scored = np.zeros((64, 96), np.bool_)
    scored[:, 48:] = True
    for seed in range(8):
        spoilt, mask = spoil_within(np.random.default_rng(seed), picture, scored)
        changed = np.abs(spoilt.astype(int) - picture).sum(2) > 30
        assert (scored & mask).sum() > 0.6 * mask.sum()
        if changed.any():
            assert changed[:, 40:].sum() > 0.5 * changed.sum()
    assert (picture == 120).all()


def test_crops_come_from_the_folders_given(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no picture"):
        next(crops(np.random.default_rng(0), [tmp_path]))
    assert next(crops(np.random.default_rng(0), [])).shape == (CROP_PX, CROP_PX, 3)


def test_the_student_learns_to_explain_its_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train' (torch)")
    from engines.distil import DistilSettings, distil

    out = tmp_path / "student.npz"
    distil(DistilSettings(random_resnet(tmp_path / "teacher.npz"), (), 16, 0.02, 0, None, out))
    assert out.stat().st_size < 1_000_000
    assert load_student(out).spec.channels == load_student().spec.channels

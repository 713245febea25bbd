from __future__ import annotations

from pathlib import Path
from typing import Any

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
    distil(DistilSettings(random_resnet(tmp_path / "teacher.npz"), (), 16, 0.02, 0, None, out, stem_steps=2))
    assert out.stat().st_size < 4_000_000
    assert load_student(out).spec.channels == load_student().spec.channels


def test_convolutions_are_solved_from_what_they_see_and_what_they_shall_say() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra 'train' (torch)")
    from engines.distil_start import solve

    torch.manual_seed(0)
    wide, narrow = torch.randn(40, 4, 12, 12), torch.randn(40, 3, 12, 12)
    kernel, beside, bias = torch.randn(5, 4, 3, 3), torch.randn(5, 3, 1, 1), torch.randn(5)
    conv = torch.nn.functional.conv2d
    goal = conv(wide, kernel, bias, 2, 1) + conv(narrow, beside, None, 2)
    weights: dict[str, Any] = {}
    solve(weights, ["main", "side"], [(wide, 3, 2), (narrow, 1, 2)], goal)
    for name, expected in (("main.weight", kernel), ("side.weight", beside), ("main.bias", bias)):
        np.testing.assert_allclose(weights[name].numpy(), expected.numpy(), atol=1e-2)
    assert not weights["side.bias"].any()


def test_the_channels_kept_leave_out_what_others_say_already() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra 'train' (torch)")
    from engines.distil_start import kept_channels

    torch.manual_seed(0)
    own = torch.randn(8, 3, 16, 16) * torch.tensor([3.0, 2.0, 1.0]).view(1, 3, 1, 1)
    copies = torch.cat([own[:, :2] * 0.9, own, torch.zeros(8, 1, 16, 16)], 1)
    kept = kept_channels(copies, 3)
    assert len({(0, 1, 0, 1, 2)[channel] for channel in kept}) == 3

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.backbone_student import COARSE_CHANNELS, FINE_CHANNELS, STAGE_CHANNELS
from engines.distil_pictures import CROP_PX, pairs
from tests.engines.test_backbone import random_resnet


def test_every_other_crop_is_the_one_before_it_seen_again() -> None:
    first, second = pairs(np.random.default_rng(0), []), pairs(np.random.default_rng(0), [])
    for _ in range(3):
        crop, again = next(first)
        assert crop.shape == again.shape == (CROP_PX, CROP_PX, 3)
        assert all(np.array_equal(a, b) for a, b in zip((crop, again), next(second), strict=True))


def test_lessons_hold_codes_of_three_stages_and_what_they_vary_within_each_crop(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train' (torch)")
    from engines.distil_lessons import prepare_lessons, stages, varied

    _, lessons = prepare_lessons(random_resnet(tmp_path / "teacher.npz"), (), 13, 0)
    assert lessons.n_pairs == 6
    assert lessons.fine.shape == (12, FINE_CHANNELS, CROP_PX // 8, CROP_PX // 8)
    assert lessons.coarse.shape == (12, COARSE_CHANNELS, CROP_PX // 16, CROP_PX // 16)
    codes = stages(lessons.fine.float(), lessons.coarse.float())
    assert [code.shape[1] for code in codes] == [*STAGE_CHANNELS, COARSE_CHANNELS]
    for stage, code in enumerate(codes):
        found = varied(code)
        assert (lessons.powers[:, stage] > found * 0.99).all()
        np.testing.assert_allclose(varied(code + 7).numpy(), found.numpy(), rtol=1e-2, atol=1e-3)

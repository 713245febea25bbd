"""Lessons: every version of every picture where it is said to be, in memory or in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.oanet_branches import image_branch
from engines.oanet_lessons import CLEAN, MASKED, RAW, Lessons, prepare_lessons
from tests.engines.oanet_parts import SIDE_PX, parts

pytest.importorskip("torch", reason="the extra `train` is not installed")
N = 70
SOME = np.array([0, 3, N - 1])


def lessons(n_turns: int, folder: Path | None = None) -> Lessons:
    crops, fields, defective = parts(N)
    return prepare_lessons(
        image_branch("student"), crops, fields[None], defective, SIDE_PX, 0, n_turns=n_turns, folder=folder
    )


def test_a_masked_picture_is_the_clean_one_but_where_pixels_are_lost() -> None:
    given = lessons(4)
    clean, masked, raw = (given.images_uint8(SOME, version) for version in (CLEAN, MASKED, RAW))
    lost = np.broadcast_to((raw == 0).all(1, keepdims=True), raw.shape)
    assert 0.02 < lost.mean() < 0.3
    assert np.array_equal(clean[~lost], raw[~lost]) and np.array_equal(masked[~lost], raw[~lost])
    assert np.array_equal(given.images_uint8(SOME, 1), clean[..., ::-1])


def test_fewer_ways_round_are_fewer_pictures_under_the_same_names() -> None:
    every, few = lessons(4), lessons(1)
    assert len(few.pictures) == 3 * N and len(every.pictures) == 9 * N
    assert few.learnt(masks=True).tolist() == [CLEAN, MASKED] and few.learnt(masks=False).tolist() == [CLEAN]
    assert np.array_equal(few.images_uint8(SOME, CLEAN), every.images_uint8(SOME, CLEAN))
    raw, masked = few.images_uint8(SOME, RAW), few.images_uint8(SOME, MASKED)
    seen = (raw > 0).any(1, keepdims=True)
    assert np.array_equal(np.where(seen, masked, 0), np.where(seen, raw, 0))


def test_lessons_in_a_folder_are_those_in_memory(tmp_path: Path) -> None:
    here, there = lessons(1), lessons(1, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"pictures.npy", "maps0.npy", "maps1.npy", "maps2.npy"}
    assert np.array_equal(here.pictures, there.pictures)
    assert all(bool((a == b).all()) for a, b in zip(here.maps, there.maps, strict=True))

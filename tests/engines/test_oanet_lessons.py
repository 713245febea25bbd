"""Lessons: every version of every picture where it is said to be, in memory or in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.oanet_branches import image_branch
from engines.oanet_lessons import CLEAN, MASKED, RAW, Lessons, prepare_lessons
from schemas.errors import InputError
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


def test_what_is_lost_of_each_place_is_known_and_raw_pictures_lose_nothing() -> None:
    given = lessons(4)
    lost = 1 - given.seen[0][given.rows(SOME, MASKED)].float().mean((1, 2, 3)).numpy()
    black = (given.images_uint8(SOME, RAW) == 0).all(1).mean((1, 2))
    assert np.allclose(lost, black, atol=1e-3)
    assert bool((given.seen[1][given.rows(SOME, RAW)] == 1).all())


def test_black_on_a_part_counts_as_usual_and_unseen_as_in_the_graph() -> None:
    crops, fields, defective = parts(N)
    crops = np.ascontiguousarray(crops[:, :SIDE_PX, :SIDE_PX])
    crops[SOME, 8:16, 8:16] = 0
    given = prepare_lessons(image_branch("student"), crops, fields[None], defective, SIDE_PX, 0, n_turns=1)
    clean = given.images_uint8(SOME, CLEAN)
    usual = np.broadcast_to(given.usual, clean.shape)
    assert np.array_equal(clean[..., 8:16, 8:16], usual[..., 8:16, 8:16]) and usual[..., 8:16, 8:16].any()
    assert bool((given.seen[0][given.rows(SOME, CLEAN)].sum((1, 2, 3)) < given.seen[0][0].numel()).all())


def test_a_side_that_has_no_whole_places_is_refused() -> None:
    crops, fields, defective = parts(12)
    with pytest.raises(InputError, match="36 px"):
        prepare_lessons(image_branch("student"), crops, fields[None], defective, 36, 0)


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

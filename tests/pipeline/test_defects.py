"""Defects: regions, their boxes in template and frame, and the order they come in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.geometry import apply, identity, motion, resize_transform
from pipeline.defects import MAX_DEFECTS, find_defects

TEMPLATE = (64, 48)


def score_map(*regions: tuple[int, int, int, int, float]) -> NDArray[np.float32]:
    """(48, 64) with rectangles (x, y, w, h) at a score."""
    made = np.zeros(TEMPLATE[::-1], np.float32)
    for x, y, w, h, score in regions:
        made[y : y + h, x : x + w] = score
    return made


def test_each_region_is_a_defect_and_the_highest_score_comes_first() -> None:
    found = find_defects(score_map((2, 3, 4, 5, 0.6), (30, 20, 6, 2, 0.9)), 0.5, 1, identity(), TEMPLATE)
    assert [defect.template_bbox_px for defect in found] == [(30, 20, 6, 2), (2, 3, 4, 5)]
    assert [defect.bbox_px for defect in found] == [(30, 20, 6, 2), (2, 3, 4, 5)]
    assert [defect.area_px for defect in found] == [12, 20]
    assert [round(defect.score, 6) for defect in found] == [0.9, 0.6]


def test_a_score_at_the_threshold_counts_and_touching_corners_join() -> None:
    joined = score_map((2, 2, 2, 2, 0.5), (4, 4, 2, 2, 0.5), (20, 20, 2, 2, 0.4999))
    (defect,) = find_defects(joined, 0.5, 1, identity(), TEMPLATE)
    assert defect.template_bbox_px == (2, 2, 4, 4) and defect.area_px == 8


def test_small_regions_are_left_out_unless_there_is_none_larger() -> None:
    small, large = (2, 2, 1, 1, 0.9), (20, 20, 5, 5, 0.6)
    (kept,) = find_defects(score_map(small, large), 0.5, 10, identity(), TEMPLATE)
    assert kept.template_bbox_px == (20, 20, 5, 5)
    (alone,) = find_defects(score_map(small), 0.5, 10, identity(), TEMPLATE)
    assert alone.template_bbox_px == (2, 2, 1, 1)


def test_a_wholly_bad_frame_does_not_give_thousands() -> None:
    noise = (np.random.default_rng(0).random((200, 200)) > 0.9).astype(np.float32)
    assert len(find_defects(noise, 0.5, 1, identity(), (200, 200))) == MAX_DEFECTS


def test_boxes_in_the_frame_follow_the_scale() -> None:
    transform = resize_transform(TEMPLATE, (128, 96))
    (defect,) = find_defects(score_map((10, 12, 5, 7, 1.0)), 0.5, 1, transform, (128, 96))
    assert defect.bbox_px == (20, 24, 10, 14)


def test_unscored_pixels_are_no_defect() -> None:
    made = score_map((10, 10, 4, 4, 1.0))
    made[:, 30:] = -np.inf
    assert len(find_defects(made, -5.0, 1, identity(), TEMPLATE)) == 1


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    angle=st.floats(-180, 180), dx=st.floats(-60, 60), dy=st.floats(-60, 60), x=st.integers(0, 50), y=st.integers(0, 40)
)
def test_the_box_in_the_frame_holds_every_pixel_of_the_region_that_is_in_it(
    angle: float, dx: float, dy: float, x: int, y: int
) -> None:
    frame = (128, 96)
    transform = motion(frame, TEMPLATE, dx, dy, angle)
    (defect,) = find_defects(score_map((x, y, 9, 3, 1.0)), 0.5, 1, transform, frame)
    left, top, w, h = defect.bbox_px
    assert left >= 0 and top >= 0 and w >= 1 and h >= 1 and left + w <= 128 and top + h <= 96
    rows, columns = np.mgrid[y : min(y + 3, 48), x : min(x + 9, 64)]
    points = apply(transform, np.stack((columns, rows), axis=-1).reshape(-1, 2).astype(np.float64))
    inside = points[((points >= 0) & (points <= (127, 95))).all(axis=1)]
    assert np.all(inside >= (left - 0.5 - 1e-6, top - 0.5 - 1e-6))
    assert np.all(inside <= (left + w - 0.5 + 1e-6, top + h - 0.5 + 1e-6))


@pytest.mark.parametrize("angle_deg", [0, 30, 45])
def test_a_turned_box_is_tight(angle_deg: float) -> None:
    transform = motion((64, 48), TEMPLATE, 0, 0, angle_deg)
    (defect,) = find_defects(score_map((31, 23, 2, 2, 1.0)), 0.5, 1, transform, (64, 48))
    assert defect.bbox_px[2] <= 4 and defect.bbox_px[3] <= 4

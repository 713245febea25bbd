"""Where the part is: what sharp outlines enclose, without the shadow it throws."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.align_foreground import find_foreground, find_part

SIDE_PX = 256
Grey = NDArray[np.float32]


def scene(step: float, shadow: float = 0.0) -> tuple[Grey, NDArray[np.bool_]]:
    """A plate `step` grey levels off its table, with dark print on it and a soft shadow; and where the plate is."""
    plate = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    cv2.rectangle(plate, (60, 80), (190, 180), (1,), -1)
    grey = np.full(plate.shape, 150, np.float32)
    thrown = cv2.GaussianBlur(np.roll(plate, (18, 18), (0, 1)).astype(np.float32), (0, 0), 9.0)
    grey -= np.float32(shadow) * thrown
    grey[plate > 0] = 150 + step
    cv2.putText(grey, "B-44", (75, 130), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20,), 3)
    grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.8), np.float32)
    return grey + np.random.default_rng(0).normal(0, 1, grey.shape).astype(np.float32), plate > 0


def grown(mask: NDArray[np.bool_], by_px: int) -> NDArray[np.bool_]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by_px + 1, 2 * by_px + 1))
    return np.asarray(cv2.dilate(mask.view(np.uint8), disc), np.bool_)


@pytest.mark.parametrize("step", [14.0, -20.0, 60.0])
def test_the_whole_part_counts_however_faint_its_outline_beside_its_print(step: float) -> None:
    grey, plate = scene(step)
    part = find_part(grey, find_foreground(grey))
    assert part[plate].all()
    assert not part[~grown(plate, 12)].any()


def test_the_shadow_of_a_part_does_not_count() -> None:
    grey, plate = scene(60.0, shadow=45.0)
    foreground = find_foreground(grey)
    far = ~grown(plate, 12)
    assert foreground[far].sum() > 1000
    part = find_part(grey, foreground)
    assert part[plate].all() and not part[far].any()


def test_dirt_on_the_table_far_from_the_part_does_not_count() -> None:
    grey, _ = scene(60.0)
    cv2.circle(grey, (30, 30), 2, (90,), -1)
    assert not find_part(grey, find_foreground(grey))[20:40, 20:40].any()


def test_a_part_without_any_sharp_outline_stays_the_foreground() -> None:
    ys, xs = np.mgrid[:SIDE_PX, :SIDE_PX]
    blob = np.asarray(150 + 80 * np.exp(-((xs - 128) ** 2 + (ys - 128) ** 2) / 2 / 30**2), np.float32)
    foreground = find_foreground(blob)
    assert not foreground.all()
    assert np.array_equal(find_part(blob, foreground), foreground)


@pytest.mark.parametrize("width_px", [6, 18])
def test_a_part_whose_leg_leaves_the_picture_counts_as_a_whole(width_px: int) -> None:
    grey, plate = scene(60.0)
    leg = (slice(180, SIDE_PX), slice(115, 115 + width_px))
    grey[leg], plate[leg] = 210, True
    foreground = find_foreground(grey)
    assert not foreground.all()
    part = find_part(grey, foreground)
    assert part[plate].all() and not part[~grown(plate, 12)].any()


def test_a_part_whose_outline_fails_on_a_stretch_counts_as_a_whole() -> None:
    plate = np.zeros((SIDE_PX, SIDE_PX), np.bool_)
    plate[60:200, 80:170] = True
    grey = np.where(plate, np.float32(210), np.float32(150))
    glare = np.zeros(grey.shape, np.float32)
    glare[110:150, 145:205] = 1
    share = cv2.GaussianBlur(glare, (0, 0), 4.0)
    grey = np.asarray(grey * (1 - share) + cv2.GaussianBlur(grey, (0, 0), 6.0) * share, np.float32)
    assert find_part(grey, find_foreground(grey))[plate].all()


def test_a_piece_that_lies_out_of_focus_beside_a_sharp_one_counts_as_it_is() -> None:
    grey, far = np.full((SIDE_PX, SIDE_PX), 150, np.float32), np.zeros((SIDE_PX, SIDE_PX), np.bool_)
    far[160:210, 60:200] = True
    grey = np.asarray(cv2.GaussianBlur(np.where(far, np.float32(210), grey), (0, 0), 4.0), np.float32)
    grey[40:120, 40:220] = 210
    foreground = find_foreground(grey)
    part = find_part(grey, foreground)
    assert part[far].all() and part[40:120, 40:220].all()
    assert not part[~grown(foreground, 4)].any()


def test_a_bright_body_with_a_soft_outline_is_no_shadow_whatever_sharp_things_it_carries() -> None:
    body = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    cv2.rectangle(body, (50, 60), (200, 190), (1,), -1)
    grey = np.asarray(60 + 70 * cv2.GaussianBlur(body, (0, 0), 9.0), np.float32)
    cv2.rectangle(grey, (70, 80), (140, 160), (20,), -1)
    grey += np.random.default_rng(0).normal(0, 1, grey.shape).astype(np.float32)
    part = find_part(grey, find_foreground(grey))
    assert part[62:188, 52:198].all()

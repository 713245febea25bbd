"""Lines cut out and brought to one height."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engines.line_crop import CROP_HEIGHT_PX, DIGIT_BOTTOM_PX, DIGIT_TOP_PX, LineBox, crop_line


@pytest.mark.parametrize("digit_px", [8.0, 12.0, 17.0, 30.0])
def test_a_digit_of_any_size_ends_at_the_same_rows(digit_px: float) -> None:
    fine = np.zeros((1600, 4000), np.float32)
    top, left = 50.3, 60.0
    fine[round(top * 10) : round((top + digit_px) * 10), round(left * 10) : round((left + digit_px) * 10)] = 255
    page = np.asarray(cv2.resize(fine, (400, 160), interpolation=cv2.INTER_AREA), np.uint8)
    box = LineBox(left - digit_px / 2, top, left + 2 * digit_px, top + digit_px)
    out = np.empty((CROP_HEIGHT_PX, 48), np.uint8)
    crop_line(page, box, out)
    rows = out[:, 10].astype(float) / 255
    assert rows.sum() == pytest.approx(DIGIT_BOTTOM_PX - DIGIT_TOP_PX, abs=0.6)
    assert (rows * (np.arange(CROP_HEIGHT_PX) + 0.5)).sum() / rows.sum() == pytest.approx(10.0, abs=0.15)
    columns = out[10].astype(float) / 255
    assert (columns * (np.arange(48) + 0.5)).sum() / columns.sum() == pytest.approx(12.0, abs=0.3)


def test_dark_print_becomes_light_and_a_motion_moves_the_window() -> None:
    page = np.full((40, 80), 200, np.uint8)
    page[14:26, 30:34] = 10
    out = np.empty((CROP_HEIGHT_PX, 40), np.uint8)
    crop_line(page, LineBox(20, 14, 60, 26, dark_ink=True), out)
    assert out[10, 11] == 245 and out[10, 30] == 55
    moved = np.empty_like(out)
    crop_line(np.roll(page, (2, 3), (0, 1)), LineBox(20, 14, 60, 26, dark_ink=True), moved, dx_px=3, dy_px=2)
    assert np.array_equal(moved, out)


def test_a_box_over_the_edge_of_the_picture_repeats_the_edge() -> None:
    page = np.full((20, 30), 7, np.uint8)
    out = np.empty((CROP_HEIGHT_PX, 64), np.uint8)
    crop_line(page, LineBox(20, 2, 60, 14), out, dx_px=30, dy_px=-30)
    assert np.all(out == 7)

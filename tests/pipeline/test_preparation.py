"""Preparation: a frame in any pose lands on its template, and nothing outside the frame is invented."""

from __future__ import annotations

import numpy as np
import pytest

from engines.align_settings import AlignSettings
from engines.geometry import motion, valid_mask
from pipeline.decode import Picture
from pipeline.frame_edge import fill_outside
from pipeline.preparation import Preparation
from schemas.verdict import AlignmentStatus
from tests.pipeline.frames import FRAME_PX, TEMPLATE_PX, plate_bundle, plate_frame, template


@pytest.mark.parametrize(("dx", "dy", "angle"), [(0, 0, 0), (7, -5, 12), (-9, 6, -170), (3, 3, 91)])
def test_a_frame_in_any_pose_lands_on_the_template(dx: float, dy: float, angle: float) -> None:
    placed, prepared = Preparation.of_bundle(plate_bundle()).prepare(Picture(plate_frame(dx, dy, angle), None))
    assert placed.alignment.status is AlignmentStatus.ALIGNED
    assert prepared is not None
    inner = np.s_[14:-14, 14:-14]
    assert np.abs(prepared.grey[inner].astype(int) - template()[inner]).mean() < 4


def test_the_tensor_is_three_planes_of_the_aligned_picture() -> None:
    _, prepared = Preparation.of_bundle(plate_bundle()).prepare(Picture(plate_frame(), None))
    assert prepared is not None
    assert prepared.tensor.shape == (3, TEMPLATE_PX[1], TEMPLATE_PX[0]) and prepared.tensor.dtype == np.uint8
    for plane in prepared.tensor:
        np.testing.assert_array_equal(plane, prepared.grey)


def test_what_the_frame_does_not_show_is_marked_and_filled_from_the_template() -> None:
    settings = AlignSettings(max_shift_px=60, min_inside=0.3)
    _, prepared = Preparation.of_bundle(plate_bundle(align=settings)).prepare(Picture(plate_frame(dx_px=60), None))
    assert prepared is not None and prepared.valid is not None
    assert not prepared.valid[:, -25:].any() and prepared.valid[:, :60].all()
    np.testing.assert_array_equal(prepared.grey[~prepared.valid], template()[~prepared.valid])


def test_a_blank_frame_is_misaligned_with_words() -> None:
    placed, prepared = Preparation.of_bundle(plate_bundle()).prepare(Picture(np.full((160, 192), 90, np.uint8), None))
    assert prepared is None
    assert placed.alignment.status is AlignmentStatus.MISALIGNED and "blank" in placed.detail


def test_without_alignment_the_frame_is_resized() -> None:
    placed, prepared = Preparation.of_bundle(plate_bundle(align=None)).prepare(Picture(plate_frame(), None))
    assert placed.alignment.status is AlignmentStatus.SKIPPED and prepared is not None
    assert prepared.valid is None
    assert prepared.transform[0, 0] == FRAME_PX[0] / TEMPLATE_PX[0]


def test_colour_reaches_the_model_as_rgb() -> None:
    rgb = np.dstack([template(), template() // 2, np.full_like(template(), 9)])
    bundle = plate_bundle(template=rgb, colour="rgb", align=None, frame_size_px=TEMPLATE_PX)
    preparation = Preparation.of_bundle(bundle)
    assert preparation.decode_rules.colour
    _, prepared = preparation.prepare(Picture(template(), rgb))
    assert prepared is not None
    np.testing.assert_array_equal(prepared.tensor, rgb.transpose(2, 0, 1))


def test_a_template_that_does_not_suit_its_colour_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs 3 dimensions"):
        Preparation.build(template(), "rgb", None)


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, -20, 15), (-50, 40, 130)])
@pytest.mark.parametrize("n_channels", [0, 3])
def test_the_edge_of_the_frame_is_that_of_the_geometry(pose: tuple[float, float, float], n_channels: int) -> None:
    transform = motion(FRAME_PX, TEMPLATE_PX, *pose)
    shape = (TEMPLATE_PX[1], TEMPLATE_PX[0], n_channels) if n_channels else TEMPLATE_PX[::-1]
    pixels, golden = np.full(shape, 40, np.uint8), np.full(shape, 9, np.uint8)
    expected = valid_mask(transform, TEMPLATE_PX, FRAME_PX)
    valid = fill_outside(pixels, golden, transform, FRAME_PX)
    np.testing.assert_array_equal(expected if valid is None else valid, expected)
    assert (valid is None) == expected.all()
    np.testing.assert_array_equal(pixels, 40)


def test_beyond_the_frame_the_template_shows_at_the_level_of_the_frame() -> None:
    golden = np.tile(np.arange(TEMPLATE_PX[0]) % 20 + 100, (TEMPLATE_PX[1], 1)).astype(np.uint8)
    pixels = golden + 30
    pixels[:, ::2] -= 4  # what differs finely does not matter, only the level
    transform = motion(FRAME_PX, TEMPLATE_PX, 60, 0, 0)
    valid = fill_outside(pixels, golden, transform, FRAME_PX)
    assert valid is not None
    assert np.abs(pixels.astype(int) - golden - 28)[~valid].max() <= 1

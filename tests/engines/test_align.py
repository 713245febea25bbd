"""The aligner finds a part at any pose, whatever lies on it, and refuses what it cannot align."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.align import Aligner, AlignSettings
from engines.align_pose import settled
from engines.geometry import apply, compose, motion, resize_transform, warp_to_template
from schemas.errors import SetupError
from schemas.verdict import AlignmentStatus
from tests.engines.brackets import PART_PX, SIZE, Grey, bracket, clip, error_px, flange, nominal, picture

BRACKET = bracket()


@cache
def bracket_aligner() -> Aligner:
    limits = AlignSettings(max_shift_px=40, residual_limit=0.4, sharpness_limit=0.6)
    return Aligner.build(picture(BRACKET, nominal()), limits)


@cache
def outline_aligner() -> Aligner:
    return Aligner.build(picture(BRACKET, nominal()), bracket_aligner().settings.model_copy(update={"image": "edges"}))


@pytest.fixture(name="aligner")
def _aligner() -> Aligner:
    return bracket_aligner()


@given(st.floats(-180, 180), st.floats(-16, 16), st.floats(-16, 16), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_part_is_found_at_any_pose_to_a_twentieth_of_a_pixel(
    angle_deg: float, dx: float, dy: float, seed: int
) -> None:
    aligner = bracket_aligner()
    truth = motion(SIZE, SIZE, dx, dy, angle_deg)
    result = aligner.align(picture(BRACKET, truth, noise_grey=5.0, seed=seed))
    assert result.status is AlignmentStatus.ALIGNED, result.detail
    assert error_px(result.transform, truth, aligner.mask) < 0.05
    assert result.dx_px == pytest.approx(dx, abs=0.1)
    assert result.dy_px == pytest.approx(dy, abs=0.1)
    assert abs((result.angle_deg - angle_deg + 180) % 360 - 180) < 0.1


@given(st.floats(-180, 180), st.floats(-16, 16), st.floats(-16, 16), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_by_its_outlines_a_part_is_found_as_well(angle_deg: float, dx: float, dy: float, seed: int) -> None:
    truth = motion(SIZE, SIZE, dx, dy, angle_deg)
    aligner = outline_aligner()
    result = aligner.align(picture(BRACKET, truth, noise_grey=5.0, seed=seed))
    assert result.status is AlignmentStatus.ALIGNED, result.detail
    assert error_px(result.transform, truth, aligner.mask) < 0.1


@pytest.mark.parametrize("size_px", [8, 16, 24])
def test_a_defect_pasted_on_the_part_does_not_move_the_pose(aligner: Aligner, size_px: int) -> None:
    rng = np.random.default_rng(size_px)
    for angle_deg in (-150.0, -40.0, 5.0, 100.0):
        truth = motion(SIZE, SIZE, 4.2, 3.1, angle_deg)
        frame = picture(BRACKET, truth, noise_grey=4.0)
        clean = aligner.align(frame).transform
        x, y = apply(truth, np.array([60.0, 75.0])).astype(int) - size_px // 2
        frame[y : y + size_px, x : x + size_px] = rng.integers(0, 255, (size_px, size_px))
        spoilt = aligner.align(frame)
        assert spoilt.status is AlignmentStatus.ALIGNED, spoilt.detail
        assert error_px(spoilt.transform, clean, aligner.mask) < 0.05


@pytest.mark.parametrize(("gain", "bias"), [(0.4, 10.0), (1.2, -20.0), (0.6, 90.0)])
def test_light_and_contrast_do_not_move_the_pose(aligner: Aligner, gain: float, bias: float) -> None:
    truth = motion(SIZE, SIZE, -7.0, 2.5, 33.0)
    frame = np.clip(picture(BRACKET, truth) * gain + bias, 0, 255).astype(np.uint8)
    result = aligner.align(frame)
    assert result.status is AlignmentStatus.ALIGNED, result.detail
    assert error_px(result.transform, truth, aligner.mask) < 0.05


def test_sixteen_bits_align_as_eight_do(aligner: Aligner) -> None:
    frame = picture(BRACKET, motion(SIZE, SIZE, 3.0, 1.0, 60.0))
    one, other = aligner.align(frame), aligner.align(frame.astype(np.uint16) * 257)
    np.testing.assert_allclose(one.transform, other.transform, atol=1e-3)


def test_a_frame_aligns_the_same_every_time_and_leaves_it_unchanged(aligner: Aligner) -> None:
    frame = picture(BRACKET, motion(SIZE, SIZE, 3.0, 1.0, 60.0), noise_grey=5.0)
    kept = frame.copy()
    first = aligner.align(frame)
    aligner.align(picture(BRACKET, nominal()))
    np.testing.assert_array_equal(first.transform, aligner.align(frame).transform)
    np.testing.assert_array_equal(frame, kept)


def test_the_transform_of_a_larger_frame_leads_to_its_pixels(aligner: Aligner) -> None:
    large = (256, 256)
    truth = compose(motion(large, large, 10.0, -6.0, 25.0), resize_transform(SIZE, large))
    frame = picture(BRACKET, motion(large, large, 10.0, -6.0, 25.0), size=large)
    result = aligner.align(frame)
    assert result.status is AlignmentStatus.ALIGNED, result.detail
    assert error_px(result.transform, truth, aligner.mask) < 0.1
    assert result.dx_px == pytest.approx(10.0, abs=0.2)
    warped = warp_to_template(frame, result.transform, SIZE).astype(float)
    assert np.abs(warped - picture(BRACKET, nominal()))[aligner.mask].mean() < 3


def test_frames_whose_template_pixels_are_not_square_turn_rightly() -> None:
    wide = (192, 128)
    template = cv2.resize(picture(BRACKET, nominal((256, 256)), size=(256, 256)), wide, interpolation=cv2.INTER_AREA)
    limits = AlignSettings(pixel_aspect=(256 / 128) / (256 / 192))
    squeezed = Aligner.build(np.asarray(template, np.uint8), limits)
    motion_256 = motion((256, 256), (256, 256), 9.0, 4.0, 70.0)
    result = squeezed.align(picture(BRACKET, motion_256, noise_grey=3.0, size=(256, 256)))
    truth = compose(motion_256, resize_transform(wide, (256, 256)))
    assert result.status is AlignmentStatus.ALIGNED, result.detail
    assert error_px(result.transform, truth, squeezed.mask) < 0.2
    assert result.angle_deg == pytest.approx(70.0, abs=0.1)


@pytest.mark.parametrize("scale", [0.96, 1.03])
def test_a_similarity_finds_the_size(scale: float) -> None:
    similar = Aligner.build(picture(BRACKET, nominal()), AlignSettings(motion="similarity", residual_limit=0.4))
    truth = motion(SIZE, SIZE, -3.0, 5.0, 140.0, scale)
    result = similar.align(picture(BRACKET, truth, noise_grey=3.0))
    assert result.status is AlignmentStatus.ALIGNED, result.detail
    assert result.scale == pytest.approx(scale, abs=0.002)
    assert error_px(result.transform, truth, similar.mask) < 0.08


def test_an_affine_finds_a_shear() -> None:
    affine = Aligner.build(picture(BRACKET, nominal()), AlignSettings(motion="affine", residual_limit=0.4))
    truth = motion(SIZE, SIZE, 2.0, -1.0, -30.0)
    truth[:, :2] = truth[:, :2] @ np.array([[1.0, 0.04], [0.0, 1.02]])
    result = affine.align(picture(BRACKET, truth, noise_grey=3.0))
    assert result.status is AlignmentStatus.ALIGNED, result.detail
    assert error_px(result.transform, truth, affine.mask) < 0.08


def test_motion_none_only_resizes_and_still_refuses_another_picture() -> None:
    still = Aligner.build(picture(BRACKET, nominal()), AlignSettings(motion="none", residual_limit=0.3))
    same = still.align(picture(BRACKET, nominal(), noise_grey=3.0))
    assert same.status is AlignmentStatus.SKIPPED
    np.testing.assert_allclose(same.transform, nominal(), atol=1e-9)
    assert still.align(picture(clip(), nominal())).status is AlignmentStatus.MISALIGNED


def test_a_symmetric_part_is_told_apart_by_its_one_mark() -> None:
    marked = Aligner.build(picture(flange(marked=True), nominal()), AlignSettings(residual_limit=0.3))
    assert marked.finder is not None
    assert len(marked.finder.symmetries) == 5
    for angle_deg in (-130.0, -61.0, 20.0, 77.0, 179.0):
        truth = motion(SIZE, SIZE, 3.0, -4.0, angle_deg)
        result = marked.align(picture(flange(marked=True), truth, noise_grey=4.0))
        assert error_px(result.transform, truth, marked.mask) < 0.1, angle_deg


def test_a_part_declared_the_same_after_turns_takes_the_smallest_turn() -> None:
    limits = AlignSettings(residual_limit=0.3, symmetry="equivalent")
    plain = Aligner.build(picture(flange(marked=False), nominal()), limits)
    for angle_deg, smallest in ((125.0, 5.0), (-80.0, -20.0), (172.0, -8.0)):
        truth = motion(SIZE, SIZE, 3.0, -4.0, angle_deg)
        result = plain.align(picture(flange(marked=False), truth, noise_grey=4.0))
        assert result.angle_deg == pytest.approx(smallest, abs=0.3)


REFUSALS: dict[str, tuple[Grey, str]] = {
    "blank": (np.full((128, 128), 120, np.uint8), "blank"),
    "all white": (np.full((128, 128), 255, np.uint8), "blank"),
    "all black": (np.zeros((128, 128), np.uint8), "blank"),
    "noise": (np.random.default_rng(0).integers(0, 255, (128, 128)).astype(np.uint8), ""),
    "a ramp": (np.tile(np.arange(128, dtype=np.uint8), (128, 1)), ""),
    "a chequerboard": (np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((8, 8))).astype(np.uint8) * 200, ""),
    "three pixels": (np.zeros((1, 3), np.uint8), "shape"),
    "colour": (np.zeros((128, 128, 3), np.uint8), "shape"),
    "another product": (picture(clip(), nominal()), "residual"),
    "an empty fixture": (picture(np.full((PART_PX, PART_PX), 190, np.float32), nominal(), noise_grey=5.0), ""),
    "half outside": (picture(BRACKET, motion(SIZE, SIZE, 60.0, 0.0, 0.0)), ""),
    "blurred": (np.asarray(cv2.GaussianBlur(picture(BRACKET, nominal()), (0, 0), 2.5), np.uint8), "blurred"),
}


@pytest.mark.parametrize("value", [np.nan, np.inf, 120.0])
def test_a_picture_in_floats_which_may_hold_no_numbers_is_refused(aligner: Aligner, value: float) -> None:
    result = aligner.align(np.full((128, 128), value, np.float32))  # type: ignore[arg-type]
    assert result.status is AlignmentStatus.MISALIGNED
    assert "float32" in result.detail
    assert np.isfinite(result.transform).all()


@pytest.mark.parametrize("what", list(REFUSALS))
def test_a_picture_that_cannot_be_aligned_is_refused_with_a_reason(aligner: Aligner, what: str) -> None:
    frame, word = REFUSALS[what]
    result = aligner.align(frame)
    assert result.status is AlignmentStatus.MISALIGNED, what
    assert result.detail
    assert word in result.detail
    assert np.isfinite(result.transform).all()


@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.booleans(),
    st.sampled_from(["noise", "flat", "rows", "specks", "edge"]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_picture_there_is_a_result_and_no_exception(
    shape: tuple[int, int], deep: bool, what: str, seed: int
) -> None:
    rng, (rows, columns) = np.random.default_rng(seed), np.indices(shape)
    levels = {
        "noise": rng.integers(0, 256, shape),
        "flat": np.full(shape, rng.integers(0, 256)),
        "rows": rows * 7 % 256,
        "specks": (rng.random(shape) > 0.995) * 255,
        "edge": (columns > shape[1] // 2) * 255,
    }[what]
    eight = levels.astype(np.uint8)
    result = bracket_aligner().align(eight.astype(np.uint16) * 257 if deep else eight)
    assert (result.status is AlignmentStatus.MISALIGNED) == bool(result.detail)
    numbers = [result.dx_px, result.dy_px, result.angle_deg, result.residual, result.inside, result.sharpness]
    assert np.isfinite(numbers).all()
    assert np.isfinite(result.transform).all()


def test_a_part_turned_beyond_the_capture_range_is_refused() -> None:
    narrow = Aligner.build(picture(BRACKET, nominal()), AlignSettings(max_angle_deg=10, residual_limit=0.2))
    assert narrow.align(picture(BRACKET, motion(SIZE, SIZE, 0, 0, 8.0))).status is AlignmentStatus.ALIGNED
    upside_down = narrow.align(picture(BRACKET, motion(SIZE, SIZE, 0, 0, 180.0)))
    assert upside_down.status is AlignmentStatus.MISALIGNED
    assert upside_down.detail


def test_a_part_moved_beyond_the_capture_range_is_refused() -> None:
    narrow = Aligner.build(picture(BRACKET, nominal()), AlignSettings(max_shift_px=8, residual_limit=0.4))
    assert narrow.align(picture(BRACKET, motion(SIZE, SIZE, 6.0, -6.0, 0.0))).status is AlignmentStatus.ALIGNED
    far = narrow.align(picture(BRACKET, motion(SIZE, SIZE, -16.0, 0.0, 0.0)))
    assert far.status is AlignmentStatus.MISALIGNED
    assert far.detail


@pytest.mark.parametrize(
    ("template", "word"),
    [(np.full((128, 128), 7, np.uint8), "blank"), (np.zeros((20, 20), np.uint8), "32x32")],
)
def test_a_template_that_cannot_serve_is_refused_at_build(template: Grey, word: str) -> None:
    with pytest.raises(SetupError, match=word):
        Aligner.build(template, AlignSettings())


@pytest.mark.parametrize("mask_png", ["not base64!", "", "aGVsbG8="])
def test_a_damaged_mask_is_refused_at_build(mask_png: str) -> None:
    with pytest.raises(SetupError, match="mask_png"):
        Aligner.build(picture(BRACKET, nominal()), AlignSettings(mask_png=mask_png))


def test_a_pose_that_differs_in_its_last_bits_is_the_same_pose() -> None:
    found = np.array([[0.98123456, -0.1923847, 12.345678], [0.1923847, 0.98123456, -7.654321]])
    noise = np.random.default_rng(0).uniform(-1e-9, 1e-9, found.shape)
    assert np.array_equal(settled(found), settled(found + noise))
    corners = np.array([[0.0, 0.0], [255.0, 255.0]])
    assert np.abs(apply(settled(found), corners) - apply(found, corners)).max() < 1e-3

"""Transforms compose, invert, and follow one pixel convention through crops, resizes and warps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import geometry
from engines.geometry import Transform

coordinates = st.floats(-500, 500)
sizes = st.tuples(st.integers(16, 1200), st.integers(16, 1200))
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=4).map(lambda p: np.array(p, np.float64))


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    angle, scale = draw(st.floats(-180, 180)), draw(st.floats(0.2, 5))
    transform = geometry.rotation(angle, np.array([draw(coordinates), draw(coordinates)]), scale)
    transform[0, :2] *= draw(st.floats(0.7, 1.4))
    return transform


@given(transforms(), transforms(), points)
def test_composing_applies_the_inner_transform_first(outer: Transform, inner: Transform, at: np.ndarray) -> None:
    both = geometry.apply(geometry.compose(outer, inner), at)
    np.testing.assert_allclose(both, geometry.apply(outer, geometry.apply(inner, at)), rtol=1e-9, atol=1e-6)


@given(transforms(), points)
def test_inverting_brings_every_point_back(transform: Transform, at: np.ndarray) -> None:
    there = geometry.apply(transform, at)
    np.testing.assert_allclose(geometry.apply(geometry.invert(transform), there), at, rtol=1e-9, atol=1e-6)


@given(transforms(), transforms(), transforms())
def test_composing_is_associative(a: Transform, b: Transform, c: Transform) -> None:
    left = geometry.compose(geometry.compose(a, b), c)
    right = geometry.compose(a, geometry.compose(b, c))
    np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-6)


def test_a_flat_transform_cannot_be_inverted() -> None:
    with pytest.raises(ValueError, match="cannot be inverted"):
        geometry.invert(np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]))


@given(sizes, sizes)
def test_a_resize_keeps_outer_edges_and_middles(source: tuple[int, int], target: tuple[int, int]) -> None:
    resize = geometry.resize_transform(source, target)
    np.testing.assert_allclose(geometry.apply(resize, np.array([-0.5, -0.5])), (-0.5, -0.5), atol=1e-9)
    far = np.array(source) - 0.5
    np.testing.assert_allclose(geometry.apply(resize, far), np.array(target) - 0.5, atol=1e-6)
    np.testing.assert_allclose(geometry.apply(resize, geometry.middle(source)), geometry.middle(target), atol=1e-6)


@given(sizes, sizes)
def test_resizing_there_and_back_is_nothing(source: tuple[int, int], target: tuple[int, int]) -> None:
    back = geometry.compose(geometry.resize_transform(target, source), geometry.resize_transform(source, target))
    np.testing.assert_allclose(back, geometry.identity(), atol=1e-9)


@given(st.floats(0, 300), st.floats(0, 300), points)
def test_cropping_shifts_the_origin(x: float, y: float, at: np.ndarray) -> None:
    np.testing.assert_allclose(geometry.apply(geometry.crop_transform(x, y), at), at - (x, y), atol=1e-9)


@given(
    sizes,
    st.integers(32, 256),
    st.floats(-50, 50),
    st.floats(-50, 50),
    st.floats(-179.9, 180),
    st.floats(0.8, 1.25),
)
def test_a_pose_reads_back_what_a_motion_states(
    frame: tuple[int, int], side: int, dx: float, dy: float, angle: float, scale: float
) -> None:
    template = (side, max(8, round(side * frame[1] / frame[0])))
    found = geometry.pose(geometry.motion(frame, template, dx, dy, angle, scale), template, frame)
    assert found.dx_px == pytest.approx(dx, abs=1e-6)
    assert found.dy_px == pytest.approx(dy, abs=1e-6)
    assert abs((found.angle_deg - angle + 180) % 360 - 180) < 0.5
    assert found.scale == pytest.approx(scale, rel=1e-6)


def test_a_positive_angle_turns_counter_clockwise_as_seen() -> None:
    turned = geometry.rotation(90.0, np.array([10.0, 10.0]))
    np.testing.assert_allclose(geometry.apply(turned, np.array([15.0, 10.0])), (10.0, 5.0), atol=1e-9)


def test_a_bright_pixel_is_found_where_the_transform_says() -> None:
    frame = np.zeros((60, 80), np.float32)
    frame[41, 23] = 100.0
    transform = geometry.motion((80, 60), (80, 60), 5.0, -3.0, 90.0)
    warped = geometry.warp_to_template(frame, transform, (80, 60))
    y, x = np.unravel_index(int(np.argmax(warped)), warped.shape)
    np.testing.assert_allclose(geometry.apply(transform, np.array([float(x), float(y)])), (23.0, 41.0), atol=1e-6)


def test_warping_onto_a_smaller_template_averages_like_a_resize() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (64, 96)).astype(np.uint8)
    nominal = geometry.resize_transform((32, 21), (96, 64))
    exact = geometry.resize_transform((32, 32), (96, 96))
    square = np.random.default_rng(1).integers(0, 255, (96, 96)).astype(np.uint8)
    wanted = cv2.resize(square, (32, 32), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(geometry.warp_to_template(square, exact, (32, 32)).astype(int) - wanted).max() <= 1
    assert geometry.warp_to_template(frame, nominal, (32, 21)).shape == (21, 32)


def test_only_template_pixels_inside_the_frame_are_valid() -> None:
    shifted = geometry.motion((10, 8), (10, 8), 3.0, 0.0, 0.0)
    valid = geometry.valid_mask(shifted, (10, 8), (10, 8))
    assert valid[:, :7].all()
    assert not valid[:, 7:].any()


@given(sizes)
def test_a_box_on_the_template_covers_as_much_of_a_frame_of_twice_the_size(size: tuple[int, int]) -> None:
    frame = (2 * size[0], 2 * size[1])
    box = (3, 4, 5, 6)
    assert geometry.box_to_frame(box, geometry.resize_transform(size, frame), frame) == (6, 8, 10, 12)


@given(sizes, st.integers(64, 512))
def test_a_working_size_keeps_the_aspect_and_never_enlarges(frame: tuple[int, int], longest: int) -> None:
    width, height = geometry.working_size(frame, longest)
    assert max(width, height) <= min(longest, max(frame))
    assert max(width, height) >= min(longest, max(frame)) * 7 // 8
    across = min(frame) * max(width, height) / max(frame)
    assert abs(min(width, height) - max(1.0, across)) <= 0.5 + 1e-9

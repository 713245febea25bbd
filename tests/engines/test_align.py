"""The aligner finds a part at any pose, and refuses what it cannot align."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.align import Aligner, AlignSettings
from engines.geometry import Transform, apply, compose, invert, motion, resize_transform
from schemas.errors import SetupError
from schemas.verdict import AlignmentStatus

SIZE = (128, 128)
Grey = NDArray[np.uint8]


def bracket(size_px: int = 512) -> NDArray[np.float32]:
    """A dark L-shaped part with holes and marks on a light ground, without any symmetry."""
    scale = size_px / 512
    canvas = np.full((size_px, size_px), 190, np.uint8)

    def at(*xy: int) -> tuple[int, ...]:
        return tuple(round(v * scale) for v in xy)

    cv2.rectangle(canvas, at(150, 120), at(230, 400), 70, -1)
    cv2.rectangle(canvas, at(150, 320), at(370, 400), 90, -1)
    cv2.circle(canvas, at(190, 170), round(22 * scale), 200, -1)
    cv2.circle(canvas, at(330, 360), round(15 * scale), 30, -1)
    cv2.putText(canvas, "7A", at(160, 300), cv2.FONT_HERSHEY_SIMPLEX, 1.6 * scale, 150, round(5 * scale))
    return np.asarray(cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 1.5 * scale), np.float32)


def picture(truth: Transform, noise_grey: float = 0.0, seed: int = 0) -> Grey:
    """The bracket as a frame of SIZE under `truth` (template px -> frame px), by fourfold supersampling."""
    part = bracket()
    fine = (SIZE[0] * 4, SIZE[1] * 4)
    to_part = compose(resize_transform(SIZE, (512, 512)), compose(invert(truth), resize_transform(fine, SIZE)))
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(part, to_part, fine, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.resize(seen, SIZE, interpolation=cv2.INTER_AREA)
    seen = seen + np.random.default_rng(seed).normal(size=seen.shape) * noise_grey
    return np.asarray(np.clip(np.rint(seen), 0, 255), np.uint8)


def nominal() -> Transform:
    return motion(SIZE, SIZE, 0, 0, 0)


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner.build(picture(nominal()), AlignSettings(max_shift_px=32, residual_limit=0.2))


def error_px(found: Transform, truth: Transform, mask: NDArray[np.bool_]) -> float:
    ys, xs = np.nonzero(mask)
    points = np.stack([xs, ys], axis=1).astype(np.float64)
    return float(np.sqrt(((apply(found, points) - apply(truth, points)) ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize("angle_deg", [-180.0, -133.0, -71.3, 0.0, 12.5, 90.0, 168.0])
def test_a_part_is_found_at_any_angle_to_a_twentieth_of_a_pixel(aligner: Aligner, angle_deg: float) -> None:
    truth = motion(SIZE, SIZE, 6.3, -9.7, angle_deg)
    result = aligner.align(picture(truth, noise_grey=5.0))
    assert result.status is AlignmentStatus.ALIGNED, result.detail
    assert error_px(result.transform, truth, aligner.mask) < 0.05
    assert result.dx_px == pytest.approx(6.3, abs=0.1)
    assert result.dy_px == pytest.approx(-9.7, abs=0.1)
    assert abs((result.angle_deg - angle_deg + 180) % 360 - 180) < 0.1


@pytest.mark.parametrize(
    ("what", "frame", "word"),
    [
        ("blank", np.full((128, 128), 120, np.uint8), "blank"),
        ("all white", np.full((128, 128), 255, np.uint8), "blank"),
        ("noise", np.random.default_rng(0).integers(0, 255, (128, 128)).astype(np.uint8), ""),
        ("a ramp", np.tile(np.arange(128, dtype=np.uint8), (128, 1)), ""),
        ("three pixels", np.zeros((1, 3), np.uint8), "shape"),
    ],
)
def test_a_picture_without_the_part_is_refused_with_a_reason(
    aligner: Aligner, what: str, frame: Grey, word: str
) -> None:
    result = aligner.align(frame)
    assert result.status is AlignmentStatus.MISALIGNED, what
    assert result.detail
    assert word in result.detail


def test_a_blank_template_is_refused_at_build() -> None:
    with pytest.raises(SetupError, match="blank"):
        Aligner.build(np.full((128, 128), 7, np.uint8), AlignSettings())

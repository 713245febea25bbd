"""Limits learnt from good parts keep good parts, refuse others, and say what they are."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from engines.align import Aligner, AlignSettings
from engines.align_calibration import calibrate_alignment, residual_limit
from engines.geometry import Transform, motion
from schemas.errors import SetupError
from schemas.verdict import AlignmentStatus
from tests.engines.brackets import SIZE, Grey, bracket, clip, error_px, flange, nominal, picture, roof


def fixture_pictures(n: int, first_seed: int = 0) -> list[Grey]:
    """Good parts in a fixture: small poses, noise."""
    rng = np.random.default_rng(first_seed)
    poses = [
        motion(SIZE, SIZE, float(rng.uniform(-2, 2)), float(rng.uniform(-2, 2)), float(rng.uniform(-2, 2)))
        for _ in range(n)
    ]
    return [picture(bracket(), truth, 5.0, first_seed + k) for k, truth in enumerate(poses)]


@cache
def calibrated() -> AlignSettings:
    return calibrate_alignment(picture(bracket(), nominal()), fixture_pictures(20))


def test_good_parts_that_were_not_seen_are_aligned() -> None:
    aligner = Aligner.build(picture(bracket(), nominal()), calibrated())
    for frame in fixture_pictures(30, first_seed=1000):
        result = aligner.align(frame)
        assert result.status is AlignmentStatus.ALIGNED, result.detail


def test_another_product_and_an_upside_down_part_are_refused() -> None:
    aligner = Aligner.build(picture(bracket(), nominal()), calibrated())
    others = [picture(clip(), nominal(), 5.0), picture(bracket(), motion(SIZE, SIZE, 0, 0, 180.0), 5.0)]
    for frame in others:
        result = aligner.align(frame)
        assert result.status is AlignmentStatus.MISALIGNED
        assert result.detail


def test_the_capture_range_narrows_to_what_a_fixture_does() -> None:
    assert calibrated().max_angle_deg == pytest.approx(10.0)
    assert calibrated().max_shift_px <= 16
    wide = calibrate_alignment(picture(bracket(), nominal()), fixture_pictures(10), narrow=False)
    assert wide.max_angle_deg == 180.0


def test_outlines_stay_with_the_part_where_light_changes_flanks_as_it_turns() -> None:
    def lit(angle_deg: float, seed: int) -> tuple[Grey, Transform]:
        rng = np.random.default_rng(seed)
        truth = motion(SIZE, SIZE, float(rng.uniform(-4, 4)), float(rng.uniform(-4, 4)), angle_deg)
        return picture(roof(angle_deg), truth, 3.0, seed), truth

    template = picture(roof(0.0), nominal())
    turned = [lit(a, k)[0] for k, a in enumerate(np.linspace(-175, 170, 16).tolist())]
    learnt = calibrate_alignment(template, turned, AlignSettings(image="edges"))
    assert learnt.image == "edges"
    errors: dict[str, list[float]] = {"edges": [], "grey": []}
    for image, found in errors.items():
        aligner = Aligner.build(template, learnt.model_copy(update={"image": image, "residual_limit": 1.0}))
        for k, angle_deg in enumerate((-150.0, -95.0, 60.0, 130.0, 178.0)):
            frame, truth = lit(angle_deg, 100 + k)
            found.append(error_px(aligner.align(frame).transform, truth, aligner.mask))
    assert max(errors["edges"]) < 0.5
    assert max(errors["grey"]) > 2 * max(errors["edges"])


def test_parts_at_every_angle_keep_the_whole_circle() -> None:
    turned = [picture(bracket(), motion(SIZE, SIZE, 0, 0, a), 3.0) for a in np.linspace(-170, 170, 12).tolist()]
    assert calibrate_alignment(picture(bracket(), nominal()), turned).max_angle_deg == 180.0


def test_settings_survive_json() -> None:
    assert AlignSettings.model_validate_json(calibrated().model_dump_json()) == calibrated()


def test_what_differs_from_part_to_part_is_trusted_less() -> None:
    frames = fixture_pictures(16)
    rng = np.random.default_rng(3)
    for frame in frames:
        frame[88:96, 60:80] = rng.integers(0, 255, (8, 20))
    learnt = calibrate_alignment(picture(bracket(), nominal()), frames)
    aligner = Aligner.build(picture(bracket(), nominal()), learnt)
    at = (aligner.part.ys.astype(int), aligner.part.xs.astype(int))
    trust = np.zeros((128, 128))
    trust[at] = aligner.part.trust
    assert trust[90:94, 64:76].mean() < 0.5 * trust[60:80, 40:55].mean()


def test_a_part_that_is_the_same_after_a_turn_is_declared_so() -> None:
    for marked, wanted in ((False, "equivalent"), (True, "unique")):
        drawing = flange(marked)
        turned = [picture(drawing, motion(SIZE, SIZE, 0, 0, a), 2.0) for a in (-100.0, -20.0, 55.0, 140.0)]
        assert calibrate_alignment(picture(drawing, nominal()), turned).symmetry == wanted


def test_pictures_of_something_else_are_refused() -> None:
    blank = [np.full((128, 128), 200, np.uint8)] * 4
    with pytest.raises(SetupError, match="0 of 4 good pictures align"):
        calibrate_alignment(picture(bracket(), nominal()), blank)
    with pytest.raises(SetupError, match="no good pictures"):
        calibrate_alignment(picture(bracket(), nominal()), [])


def test_a_limit_lies_beyond_every_good_residual_but_an_outlier() -> None:
    residuals = np.random.default_rng(0).gamma(4, 0.01, 400)
    limit = residual_limit(residuals)
    assert limit > residuals.max()
    assert residual_limit(np.append(residuals, 0.95)) < 0.5

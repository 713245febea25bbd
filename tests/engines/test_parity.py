"""Parity: what counts as the same scores, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.parity import compare, measure_parity, probe_frames, tolerance_of
from schemas.verdict import Thresholds
from tests.engines.backends.small_model import plate, small_bundle

LIMITS = Thresholds(review=0.5, fail=1.0)


def greatest(grid: NDArray[np.float32]) -> float:
    return float(grid.max())


def grids(*peaks: float) -> NDArray[np.float32]:
    """(n, 1, 4, 4) with one cell of each at its peak."""
    made = np.zeros((len(peaks), 1, 4, 4), np.float32)
    made[:, 0, 1, 2] = peaks
    return made


def test_equal_scores_hold() -> None:
    found = compare(grids(0.2, 0.7), grids(0.2, 0.7), LIMITS, greatest)
    assert found.holds and found.max_difference == 0 and found.n_flips == 0


def test_a_difference_above_the_share_of_the_fail_threshold_does_not() -> None:
    assert compare(grids(0.2), grids(0.2009), LIMITS, greatest).holds
    found = compare(grids(0.2), grids(0.2011), LIMITS, greatest)
    assert not found.holds and found.n_flips == 0


def test_half_precision_may_differ_by_more_but_flips_nothing_either() -> None:
    assert compare(grids(0.2), grids(0.2049), LIMITS, greatest, "f16").holds
    assert not compare(grids(0.2), grids(0.2051), LIMITS, greatest, "f16").holds
    assert not compare(grids(0.4999), grids(0.5001), LIMITS, greatest, "f16").holds


@pytest.mark.parametrize(("ours", "theirs"), [(0.4999, 0.5001), (0.9999, 1.0001)])
def test_one_flipped_outcome_does_not_hold_however_small_the_difference(ours: float, theirs: float) -> None:
    found = compare(grids(ours, 0.1), grids(theirs, 0.1), LIMITS, greatest)
    assert found.n_flips == 1 and not found.holds


def test_another_grid_shape_does_not_hold() -> None:
    assert not compare(grids(0.1), grids(0.1)[:, :, :2], LIMITS, greatest).holds


def test_without_a_threshold_the_scores_themselves_are_the_scale() -> None:
    assert tolerance_of(Thresholds(review=0, fail=0), grids(50.0)) == pytest.approx(0.05)


def test_a_report_covers_every_backend_that_is_there() -> None:
    bundle = small_bundle()
    report = measure_parity(bundle, probe_frames(bundle.template()), greatest)
    assert report.holds and report.n_pictures == 5
    assert {"onnxruntime", "openvino"} <= {entry.backend for entry in report.entries}
    assert all(entry.max_difference <= report.tolerance for entry in report.entries)


def test_probe_frames_are_different_and_always_the_same() -> None:
    first, second = probe_frames(plate((64, 48))), probe_frames(plate((64, 48)))
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.shape == (3, 48, 64) and ours.dtype == np.uint8
    assert len({frame.tobytes() for frame in first}) == len(first)


def test_no_pictures_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        measure_parity(small_bundle(), [], greatest)

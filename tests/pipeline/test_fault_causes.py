"""Causes of defects: numbers that were moved together tell, however few of them are there."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from pipeline.fault_causes import FaultCauses
from pipeline.field_description import FieldDescription

NAMES = tuple(f"field {k}" for k in range(6))
MOVES = np.array([[3.0, 3, 3, 0, 0, 0], [0, 0, 0, -3, 3, 0]])


def parts(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Half of the parts defective, by one of two causes or by none that shows."""
    rng = np.random.default_rng(seed)
    defective = np.arange(n) % 2 == 1
    cause = rng.integers(0, 3, n)
    values = rng.normal(0, 1, (n, 6)) + np.vstack((MOVES, np.zeros((1, 6))))[cause] * defective[:, None]
    return 10 + 2 * values, defective


@cache
def learnt() -> FieldDescription:
    return FieldDescription.learn(NAMES, *parts())


def ratio(part: list[float]) -> float:
    return float(learnt().describe(10 + 2 * np.array([part]))[0, -1])


def test_two_numbers_of_a_cause_speak_for_it_and_the_same_two_apart_do_not() -> None:
    nan = np.nan
    together, apart = ratio([2.5, 2.5, nan, nan, nan, nan]), ratio([2.5, -2.5, nan, nan, nan, nan])
    assert together > 2 > apart


def test_a_usual_part_speaks_against_a_defect_and_one_without_fields_says_nothing() -> None:
    assert ratio([0.0] * 6) < -0.5
    assert np.isnan(ratio([np.nan] * 6))
    assert learnt().causes.log_ratio(np.full((1, 6), np.nan))[0] == pytest.approx(0)


def test_parts_not_learnt_are_told_apart_with_half_of_their_fields_missing() -> None:
    values, defective = parts(seed=1)
    values[np.random.default_rng(2).random(values.shape) < 0.5] = np.nan
    found = np.nan_to_num(learnt().describe(values)[:, -1])
    assert (found[defective][:, None] > found[~defective]).mean() > 0.7


def test_fields_that_are_missing_while_it_learns_are_left_out() -> None:
    values, defective = parts()
    values[np.random.default_rng(3).random(values.shape) < 0.1] = np.nan
    causes = FieldDescription.learn(NAMES, values, defective).causes
    assert np.isfinite(causes.means).all()
    assert np.linalg.eigvalsh(causes.covariances).min() > 0
    assert causes.shares.sum() == pytest.approx(1)


def test_few_defective_parts_are_one_kind_or_like_good_ones() -> None:
    rng = np.random.default_rng(0)
    assert len(FaultCauses.learn(np.eye(3), rng.normal(4, 1, (20, 3))).shares) == 2
    nothing = FaultCauses.learn(np.eye(3), rng.normal(4, 1, (5, 3)))
    assert nothing.log_ratio(np.full((1, 3), 9.0))[0] == pytest.approx(0)


def test_the_same_parts_give_the_same_causes() -> None:
    again = FieldDescription.learn(NAMES, *parts())
    assert np.array_equal(learnt().causes.means, again.causes.means)


def test_causes_of_other_fields_than_their_means_are_refused() -> None:
    with pytest.raises(ValueError, match=r"wanted are \(K,\), \(K, F\) and \(K, F, F\)"):
        FaultCauses(np.ones(2), np.zeros((2, 6)), np.zeros((2, 5, 5)))

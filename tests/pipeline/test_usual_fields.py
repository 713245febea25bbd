"""Usual fields: what belongs together is held together, and what is missing is left out, never filled in."""

from __future__ import annotations

import numpy as np

from pipeline.usual_fields import UsualFields


def good(n: int = 500) -> np.ndarray:
    """Two fields that move together, one of its own."""
    rng = np.random.default_rng(0)
    both = rng.normal(0, 1, n)
    return np.column_stack((10 + both, 5 + 2 * both + rng.normal(0, 0.2, n), rng.normal(100, 9, n)))


USUAL = UsualFields.learn(("force", "current", "grey"), good())


def test_fields_that_no_longer_belong_together_are_far_from_usual_though_each_alone_is_not() -> None:
    together, apart = USUAL.describe(np.array([[11.5, 8.0, 100.0], [11.5, 2.0, 100.0]]))
    assert np.abs(apart[:3]).max() < 2
    assert apart[-2] > 5 * together[-2]
    assert apart[-1] > 3 > together[-1]


def test_a_missing_field_stays_missing_and_changes_nothing_but_the_sums() -> None:
    described = USUAL.describe(np.array([[11.5, np.nan, 100.0], [np.nan, np.nan, np.nan]]))
    assert np.isnan(described[0]).tolist() == [False, True, False, False, True, False, False, False]
    assert abs(described[0, 3] - described[0, 0]) < 0.1  # grey alone explains nothing of it
    assert np.isnan(described[1]).all()


def test_a_field_that_never_varies_or_never_appears_tells_nothing() -> None:
    values = good()
    values[:, 2] = 7.0
    usual = UsualFields.learn(("force", "current", "grey"), values)
    assert usual.describe(np.array([[10.0, 5.0, 900.0]]))[0, 2] == 0
    values[:, 2] = np.nan
    described = UsualFields.learn(("force", "current", "grey"), values).describe(np.array([[10.0, 5.0, 3.0]]))
    assert np.isfinite(described).all()

"""Mask learning: as many fields are lost as was asked for, and the grid takes its share of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from engines.mask_learning import drop_fields, grid_mask, mask_pictures


def test_exactly_the_share_that_was_asked_for_is_dropped() -> None:
    dropped = drop_fields(np.zeros((50, 10), bool), np.random.default_rng(0), 0.6, 0.6)
    assert (dropped.sum(1) == 6).all()


def test_between_nothing_and_the_greatest_share_is_dropped_and_what_was_missing_stays_so() -> None:
    missing = np.zeros((400, 10), bool)
    missing[:, 0] = True
    dropped = drop_fields(missing, np.random.default_rng(0))
    assert dropped[:, 0].all()
    shares = dropped[:, 1:].mean(1)
    assert shares.min() == 0 and 0.5 < shares.max() <= 0.67 and 0.2 < shares.mean() < 0.35


@pytest.mark.parametrize(("least", "most"), [(0.5, 0.2), (-0.1, 0.5), (0.0, 1.2)])
def test_shares_out_of_order_are_refused(least: float, most: float) -> None:
    with pytest.raises(ValueError, match="shares"):
        drop_fields(np.zeros((2, 3), bool), np.random.default_rng(0), most, least)


def test_a_grid_takes_about_an_eighth_of_the_picture_and_what_it_takes_is_black() -> None:
    rng = np.random.default_rng(3)
    shares = [grid_mask(96, rng).mean() for _ in range(40)]
    assert 0.1 < np.mean(shares) < 0.16
    pictures = np.full((3, 64, 64, 3), 90, np.uint8)
    masked = mask_pictures(pictures, rng)
    assert (pictures == 90).all()
    assert set(np.unique(masked)) == {0, 90}
    assert not np.array_equal(masked[0], masked[1])

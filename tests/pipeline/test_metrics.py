from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.binned_metrics import BinnedMaps
from pipeline.metrics import au_pro, auroc, average_precision, best_f1, bootstrap, wilson


def truth(*values: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array(values, np.bool_)


def test_auroc_is_the_share_of_pairs_in_the_right_order_and_ties_count_half() -> None:
    assert auroc(truth(0, 0, 1, 1), np.array([0.1, 0.4, 0.35, 0.8])) == 0.75
    assert auroc(truth(0, 1), np.array([1.0, 1.0])) == 0.5
    assert auroc(truth(0, 0, 1), np.array([1, 2, 3])) == 1.0
    assert math.isnan(auroc(truth(1, 1), np.array([1.0, 2.0])))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60))
def test_auroc_equals_the_count_over_all_pairs(pairs: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs], float)
    positive, negative = scores[labels], scores[~labels]
    if not positive.size or not negative.size:
        assert math.isnan(auroc(labels, scores))
        return
    wins = (positive[:, None] > negative).sum() + 0.5 * (positive[:, None] == negative).sum()
    assert auroc(labels, scores) == pytest.approx(wins / (positive.size * negative.size))


def test_average_precision_adds_precision_at_each_recall_gained() -> None:
    assert average_precision(truth(0, 0, 1, 1), np.array([0.1, 0.4, 0.35, 0.8])) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision(truth(0, 1, 1), np.array([5.0, 5.0, 5.0])) == pytest.approx(2 / 3)
    assert math.isnan(average_precision(truth(0, 0), np.array([1.0, 2.0])))


def test_the_best_f1_comes_with_the_threshold_that_gives_it() -> None:
    value, threshold = best_f1(truth(0, 1, 0, 1, 1), np.array([0.1, 0.3, 0.5, 0.7, 0.9]))
    assert value == pytest.approx(6 / 7)
    assert threshold == 0.3


def test_au_pro_counts_every_region_alike_whatever_its_size() -> None:
    mask = np.zeros((4, 10), np.bool_)
    mask[0, 0] = True  # a region of one pixel, missed
    mask[2:4, 4:10] = True  # a region of twelve, found whole
    found = np.where(mask, 1.0, 0.0)
    found[0, 0] = -1
    assert au_pro([mask], [found]) == pytest.approx(0.5)
    assert au_pro([mask], [mask.astype(float)]) == pytest.approx(1.0)
    assert math.isnan(au_pro([np.zeros((3, 3), np.bool_)], [np.zeros((3, 3))]))


def test_au_pro_of_a_hand_made_curve_is_its_area() -> None:
    mask = np.zeros((1, 14), np.bool_)
    mask[0, :4] = True
    # from the highest: 2 of the region, 1 of 10 normal pixels, 2 of the region, then the other normal pixels
    score = np.array([[10, 9, 7, 6, 8, 5, 4, 3, 2, 1, 0, -1, -2, -3]], float)
    assert au_pro([mask], [score], max_fpr=0.2) == pytest.approx((0.1 * 0.5 + 0.1 * 1.0) / 0.2)


def test_binned_figures_agree_with_the_exact_ones() -> None:
    rng = np.random.default_rng(3)
    masks = [np.zeros((40, 40), np.bool_) for _ in range(6)]
    for i, mask in enumerate(masks[:4]):
        mask[5 + i : 15 + i, 8 : 8 + 4 * (i + 1)] = True
    maps = [(rng.normal(0, 1, mask.shape) + 2 * mask).astype(np.float32) for mask in masks]
    binned, everything = BinnedMaps.build(masks, maps), np.arange(6)
    labels, scores = np.concatenate([m.ravel() for m in masks]), np.concatenate([m.ravel() for m in maps])
    assert binned.pixel_auroc(everything) == pytest.approx(auroc(labels, scores), abs=1e-3)
    assert binned.pixel_ap(everything) == pytest.approx(average_precision(labels, scores), abs=0.01)
    assert binned.au_pro(everything) == pytest.approx(au_pro(masks, maps), abs=0.01)


def test_a_bootstrap_holds_the_value_and_repeats_with_its_seed() -> None:
    values = np.random.default_rng(0).normal(5, 1, 200)
    first, again = (bootstrap(lambda drawn: float(values[drawn].mean()), 200, seed=1) for _ in range(2))
    assert first == again
    assert first.low < first.value < first.high
    assert first.high - first.low == pytest.approx(4 / math.sqrt(200), rel=0.25)


def test_wilsons_interval_of_nothing_found_is_not_nothing() -> None:
    low, high = wilson(0, 21, 1000)
    assert low == 0
    assert high == pytest.approx(154.6, abs=0.5)
    assert wilson(5, 10)[0] == pytest.approx(0.2366, abs=1e-3)
    assert wilson(5, 10)[1] == pytest.approx(0.7634, abs=1e-3)

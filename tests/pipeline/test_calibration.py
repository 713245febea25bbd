from __future__ import annotations

import numpy as np
import pytest

from pipeline.calibration import (
    calibrate_thresholds,
    fit_tail,
    outliers,
    review_without_highest,
    trade_off,
    trade_off_text,
    with_refused,
)
from schemas.errors import InputError


@pytest.mark.parametrize("shape", ["light", "medium", "heavy"])
@pytest.mark.parametrize(("n", "target"), [(60, 20.0), (200, 5.0)])
def test_fresh_good_parts_are_stopped_no_more_often_than_promised(shape: str, n: int, target: float) -> None:
    rng = np.random.default_rng(5)

    def draw(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        if shape == "light":
            return 1 + 0.1 * rng.standard_normal(count)
        if shape == "medium":
            return rng.gumbel(1, 0.1, count)
        return np.exp(0.2 * rng.standard_normal(count))

    fresh = draw(200_000)
    splits = [calibrate_thresholds(draw(n), target) for _ in range(40)]
    stopped = np.array([1000 * (fresh >= fit.thresholds.review).mean() for fit in splits])
    assert (stopped <= target).mean() >= 0.75
    assert stopped.mean() <= 0.8 * target
    failed = np.array([1000 * (fresh >= fit.thresholds.fail).mean() for fit in splits])
    assert failed.mean() <= target / 5
    assert all(fit.thresholds.review < fit.thresholds.fail for fit in splits)


def test_a_tail_is_consistent_with_itself() -> None:
    tail = fit_tail(np.random.default_rng(1).gumbel(1, 0.1, 500))
    for probability in (0.1, 0.01, 0.001):
        assert tail.exceedance(tail.level(probability)) == pytest.approx(probability, rel=1e-6)
    assert tail.level(0.001) > tail.level(0.01) > tail.start
    assert tail.exceedance(tail.start - 1) == tail.share


def test_scores_that_are_all_the_same_still_give_ordered_thresholds() -> None:
    fit = calibrate_thresholds(np.ones(30), 5)
    assert 1 <= fit.thresholds.review < fit.thresholds.fail < 1.1


def test_a_stricter_target_gives_a_higher_threshold_and_the_seed_repeats() -> None:
    scores = np.random.default_rng(2).gumbel(1, 0.1, 100)
    loose, strict = calibrate_thresholds(scores, 50), calibrate_thresholds(scores, 2)
    assert strict.thresholds.review > loose.thresholds.review
    assert calibrate_thresholds(scores, 2) == strict


def test_parts_far_above_the_others_are_told_apart() -> None:
    scores = np.random.default_rng(4).gumbel(1, 0.05, 100)
    assert outliers(scores).sum() <= 1
    scores[[7, 40]] = 4.0
    assert set(np.flatnonzero(outliers(scores))) == {7, 40}


@pytest.mark.parametrize(
    ("scores", "target", "message"),
    [
        (np.ones(5), 5.0, "5 good parts are too few"),
        (np.ones(50), 0.0, "above 0"),
        (np.ones(50), 900.0, "up to 200"),
        (np.append(np.ones(50), np.inf), 5.0, "no finite score"),
    ],
)
def test_what_cannot_be_calibrated_says_why(
    scores: np.ndarray[tuple[int], np.dtype[np.float64]], target: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        calibrate_thresholds(scores, target)


def test_known_defective_parts_take_the_thresholds_down_but_not_below_what_is_expected() -> None:
    good = np.random.default_rng(3).gamma(9, 1 / 9, 60)
    careful = calibrate_thresholds(good, 5.0)
    expected = careful.tail.level(0.005)
    review = careful.thresholds.review
    assert expected < review
    between = (expected + review) / 2
    sharpened = calibrate_thresholds(good, 5.0, bad=np.array([between, 100.0, expected - 0.1]))
    assert sharpened.thresholds.review == between
    assert careful.expected_per_1000 < sharpened.expected_per_1000 <= 5.0 < sharpened.bound_per_1000
    assert sharpened.n_bad == 3
    assert calibrate_thresholds(good, 5.0, bad=np.array([0.1, 100.0])).thresholds == careful.thresholds


def test_the_trade_off_shows_what_looser_targets_stop() -> None:
    rng = np.random.default_rng(4)
    good, bad = rng.gamma(9, 1 / 9, 100), rng.gamma(9, 1 / 9, 50) + 0.8
    choices = trade_off(good, bad, bad=bad)
    reviews, stopped = [each.review for each in choices], [each.n_stopped for each in choices]
    assert reviews == sorted(reviews, reverse=True) and stopped == sorted(stopped)
    assert stopped[0] < stopped[-1]
    assert f"5 -> {stopped[2]}" in trade_off_text(choices, "these 50")


def test_defects_that_are_only_counted_move_no_threshold() -> None:
    rng = np.random.default_rng(4)
    good, generated = rng.gamma(9, 1 / 9, 100), rng.gamma(9, 1 / 9, 40) + 0.6
    plain = trade_off(good, generated)
    assert [each.review for each in plain] == [
        calibrate_thresholds(good, each.false_calls_per_1000).thresholds.review for each in plain
    ]
    assert all(each.n_stopped == (generated >= each.review).sum() for each in plain)
    assert any(
        one.review < other.review for one, other in zip(trade_off(good, generated, bad=generated), plain, strict=True)
    )


def test_a_few_marked_parts_among_the_good_hold_the_review_threshold_up() -> None:
    usual = np.random.default_rng(5).gamma(40, 1 / 40, 40)
    lower = review_without_highest(np.append(usual, [2.2, 1.9, 1.8]), 5.0)
    assert lower == calibrate_thresholds(np.sort(usual), 5.0).thresholds.review
    assert lower < 0.7 * calibrate_thresholds(np.append(usual, [2.2, 1.9, 1.8]), 5.0).thresholds.review
    assert review_without_highest(usual[:12], 5.0) is None


def test_defects_are_counted_by_the_thresholds_that_known_defective_parts_sharpen() -> None:
    rng = np.random.default_rng(4)
    good, bad, generated = rng.gamma(9, 1 / 9, 100), rng.gamma(9, 1 / 9, 40) + 0.6, rng.gamma(9, 1 / 9, 40) + 0.5
    at_five = trade_off(good, generated, bad=bad)[2]
    assert at_five.review == calibrate_thresholds(good, 5.0, bad=bad).thresholds.review
    assert at_five.review < calibrate_thresholds(good, 5.0).thresholds.review
    assert at_five.n_stopped == (generated >= at_five.review).sum()
    usual = np.sort(good)[:-3]
    assert review_without_highest(good, 5.0, bad=bad) == calibrate_thresholds(usual, 5.0, bad=bad).thresholds.review


def test_defective_parts_that_cannot_be_inspected_do_not_pass_whatever_the_target() -> None:
    good, bad = np.random.default_rng(6).gamma(40, 1 / 40, 60), np.array([0.5, 9.0])
    counted = trade_off(good, with_refused(bad, 5), bad=bad)
    assert [each.n_stopped for each in counted] == [4] * len(counted)
    assert [each.review for each in counted] == [each.review for each in trade_off(good, bad, bad=bad)]
    assert [each.n_stopped for each in trade_off(good, with_refused(np.array([]), 2))] == [2] * len(counted)

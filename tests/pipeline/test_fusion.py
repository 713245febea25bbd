"""Fusion: evidence adds up, a voice without weight is not heard, probabilities are calibrated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.fusion import FusionRule, Voices, best_threshold


def voices(n: int = 3000, seed: int = 0) -> tuple[Voices, np.ndarray]:
    """Defects seen by the image, by the fields, or by both; each voice is right about what it sees."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 6, n)  # 3: image, 4: fields, 5: both
    sees = [np.isin(kind, (3, 5)), np.isin(kind, (4, 5)), kind >= 3]
    heard = [np.clip(1 / (1 + np.exp(-rng.normal(np.where(seen, 2.0, -2.0), 1.0))), 0, 1) for seen in sees]
    return Voices(heard[0], heard[1], heard[2], np.full(n, 0.5)), kind >= 3


def test_a_defect_that_only_one_modality_sees_is_not_voted_down() -> None:
    given, truth = voices()
    rule = FusionRule.fit(given, truth)
    lone = Voices(np.array([0.95]), np.array([0.02]), np.array([0.5]), np.array([0.5]))
    nothing = replace(lone, image=np.array([0.02]))
    assert rule.probability(lone)[0] > rule.threshold > rule.probability(nothing)[0]


def test_the_probability_is_calibrated() -> None:
    given, truth = voices()
    fresh, fresh_truth = voices(seed=1)
    found = FusionRule.fit(given, truth).probability(fresh)
    for low in np.arange(0, 1, 0.2):
        here = (found >= low) & (found < low + 0.2)
        if here.sum() > 100:
            assert abs(found[here].mean() - fresh_truth[here].mean()) < 0.08


def test_a_voice_that_is_switched_off_changes_nothing() -> None:
    given, truth = voices()
    rule = FusionRule.fit(given, truth)
    off = replace(given, image_weight=np.zeros(len(truth)))
    assert np.array_equal(rule.probability(off), rule.probability(replace(off, image=1 - off.image)))


def test_a_voice_that_speaks_against_itself_gets_no_weight() -> None:
    given, truth = voices()
    rule = FusionRule.fit(replace(given, image=1 - given.fused), truth)
    assert rule.weights[0] == 0
    assert min(rule.weights) >= 0


def test_at_the_threshold_f1_is_about_the_greatest_that_can_be() -> None:
    given, truth = voices()
    fresh, fresh_truth = voices(seed=1)
    rule = FusionRule.fit(given, truth)
    found = rule.probability(fresh)

    def f1(threshold: float) -> float:
        called = found >= threshold
        return float(2 * (called & fresh_truth).sum() / (called.sum() + fresh_truth.sum()))

    assert f1(rule.threshold) > max(f1(each) for each in np.linspace(0.02, 0.98, 49)) - 0.01


def test_half_of_the_best_f1_is_the_threshold() -> None:
    probability = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.1])
    truth = np.array([True, True, False, True, False, False])
    assert best_threshold(probability, truth) == pytest.approx(3 / 7)
    with pytest.raises(ValueError, match="good and defective"):
        FusionRule.fit(voices(5)[0], np.zeros(5, bool))

"""The three zones of a score."""

from __future__ import annotations

import math

import pytest

from pipeline.decision import RecipeRules, decide
from schemas.recipe import Recipe
from schemas.verdict import Outcome, Reason, Thresholds
from tests.engines.backends.small_model import manifest

LIMITS = Thresholds(review=0.4, fail=0.6)


@pytest.mark.parametrize(
    ("score", "outcome"),
    [
        (-1.0, Outcome.PASS),
        (0.3999, Outcome.PASS),
        (0.4, Outcome.REVIEW),
        (0.5999, Outcome.REVIEW),
        (0.6, Outcome.FAIL),
        (math.inf, Outcome.FAIL),
    ],
)
def test_each_threshold_belongs_to_the_zone_above_it(score: float, outcome: Outcome) -> None:
    assert decide(score, LIMITS)[0] is outcome


def test_only_a_review_has_a_reason() -> None:
    assert decide(0.5, LIMITS)[1] is Reason.LOW_CONFIDENCE
    assert decide(0.1, LIMITS)[1] is None and decide(0.9, LIMITS)[1] is None


def test_with_equal_thresholds_nothing_is_reviewed() -> None:
    equal = Thresholds(review=0.5, fail=0.5)
    assert decide(0.5, equal)[0] is Outcome.FAIL and decide(0.49, equal)[0] is Outcome.PASS


def test_an_unknown_is_never_turned_into_a_verdict() -> None:
    with pytest.raises(ValueError, match="NaN"):
        decide(math.nan, LIMITS)


def test_rules_come_from_a_recipe_or_from_the_bundle() -> None:
    recipe = Recipe(station="a/b/c", product="plate", revision=3, bundle_sha256="0" * 64, thresholds=LIMITS,
                    min_area_px=7, ignore_px=((1, 2, 3, 4),))  # fmt: skip
    assert RecipeRules.of_recipe(recipe) == RecipeRules(LIMITS, 7, ((1, 2, 3, 4),))
    assert RecipeRules.of_manifest(manifest(min_area_px=5)) == RecipeRules(LIMITS, 5, ())

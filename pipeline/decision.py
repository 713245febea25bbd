"""The decision: three zones of the frame score, and what cannot be inspected."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from engines.manifest import Manifest
from schemas.recipe import Recipe
from schemas.verdict import Box, Outcome, Reason, Thresholds


@dataclass(frozen=True, slots=True)
class RecipeRules:
    """What of a recipe touches a decision. `ignore_px` are template boxes that are never scored."""

    thresholds: Thresholds
    min_area_px: int = 1
    ignore_px: tuple[Box, ...] = ()

    @classmethod
    def of_recipe(cls, recipe: Recipe) -> Self:
        """The rules of a revision in force."""
        return cls(recipe.thresholds, recipe.min_area_px, recipe.ignore_px)

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> Self:
        """The bundle's own defaults, used where no recipe is at hand."""
        return cls(manifest.thresholds, manifest.min_area_px, manifest.ignore_px)


def decide(score: float, thresholds: Thresholds) -> tuple[Outcome, Reason | None]:
    """Pass below `review`, review from there, fail from `fail` upward; a review says low_confidence.

    Raises: ValueError when `score` is not a number: an unknown is never turned into a verdict.
    """
    if math.isnan(score):
        raise ValueError("frame score is NaN; it cannot be decided")
    if score >= thresholds.fail:
        return Outcome.FAIL, None
    if score >= thresholds.review:
        return Outcome.REVIEW, Reason.LOW_CONFIDENCE
    return Outcome.PASS, None

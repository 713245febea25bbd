"""Choosing how quiet a place may be held to be, on generated defects."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.backbone_student import load_student
from engines.feature_fit import FitSettings
from engines.features import FeatureExtractor
from pipeline.preparation import Prepared
from pipeline.rig import Rig
from pipeline.train_settings import TrainSettings
from pipeline.variance_floor import CANDIDATES, best_of, choose_floor

SIZE_PX = (64, 64)


def prepared(noise: NDArray[np.float64]) -> Prepared:
    """A grey picture of `noise` (H, W) around the middle."""
    grey = np.clip(128 + noise, 0, 255).astype(np.uint8)
    return Prepared(np.repeat(grey[None], 3, axis=0), grey, None, np.eye(2, 3))


def parts(n: int, restless: NDArray[np.bool_]) -> list[Prepared]:
    """`n` grey pictures that differ by much where `restless` (H, W) is true, and by little elsewhere."""
    rng = np.random.default_rng(0)
    return [prepared(rng.normal(0, 1, (64, 64)) * np.where(restless, 60, 2)) for _ in range(n)]


def two_natured(n: int) -> list[Prepared]:
    """`n` grey pictures whose left half differs from pixel to pixel, and the right half from patch to patch."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(n):
        fine, soft = rng.normal(0, 40, (64, 64)), cv2.GaussianBlur(rng.normal(0, 1, (64, 64)), (0, 0), 4)
        made.append(prepared(np.where(np.arange(64) < 32, fine, soft * (30 / soft.std()))))
    return made


def chosen(good: list[Prepared], settings: TrainSettings) -> float | None:
    rig = Rig.build(load_student(), SIZE_PX, None, settings)
    cells = np.stack([rig.cells(each.valid) for each in good])
    projection = rig.learn_projection(good, cells, quiet)
    return rig.settled(good, projection, rig.project(good, projection, quiet), cells, quiet).settings.fit.floor


def quiet(what: str, done: int, total: int) -> None:
    pass


def test_places_that_differ_in_what_varies_keep_their_own_variances() -> None:
    good = two_natured(16)
    found = chosen(good, TrainSettings())
    assert found == CANDIDATES[0]
    assert chosen(good, TrainSettings()) == found


def test_a_floor_that_was_asked_for_stays() -> None:
    assert chosen(parts(8, np.zeros((64, 64), np.bool_)), TrainSettings(fit=FitSettings(floor=0.45))) == 0.45


def test_choosing_says_how_far_it_is() -> None:
    good = parts(8, np.ones((64, 64), np.bool_))
    settings = TrainSettings(fit=FitSettings(dimensions=16, centres=2))
    rig = Rig.build(load_student(), SIZE_PX, None, settings)
    cells = np.stack([rig.cells(each.valid) for each in good])
    projection = rig.learn_projection(good, cells, quiet)
    extractor = FeatureExtractor(rig.backbone, SIZE_PX, projection=projection)
    said: list[str] = []
    projected = rig.project(good, projection, quiet)
    found = choose_floor(
        rig, extractor, projection, good, projected, cells, settings.fit, 0, lambda what, done, total: said.append(what)
    )
    assert found in CANDIDATES
    assert set(said) == {"generated defects"}


def test_of_candidates_that_do_as_well_the_one_that_believes_a_place_least_is_taken() -> None:
    rng = np.random.default_rng(0)
    level = rng.random(120)
    swing = 0.02 * np.tile([1.0, -1.0], 60) - 1e-4
    rows = np.stack([level - 0.1, level, level + swing, level - 0.05])
    assert best_of(rows) == 2
    rows[1] += 0.02 + 0.01 * rng.random(120)
    assert best_of(rows) == 1
    rows[:, 5] = np.nan
    assert best_of(rows) == 1

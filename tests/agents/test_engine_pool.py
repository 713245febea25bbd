from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from agents.engine_child import ChildSettings
from agents.engine_pool import ChildCalls, EnginePool, Inspected, PoolSettings
from pipeline.inspection import InspectionRequest, Refusal
from schemas.errors import DeadLetterReason, SetupError
from schemas.recipe import Recipe
from schemas.verdict import Thresholds
from tests.agents import faulty_child

RECIPE = Recipe(
    station="a/b/c", product="p", revision=1, bundle_sha256="a" * 64, thresholds=Thresholds(review=1.0, fail=2.0)
)


def inspect(pictures: Sequence[bytes], recipe: Recipe = RECIPE, deadline_s: float = 1.0) -> list[Inspected]:
    async def run() -> list[Inspected]:
        pool = EnginePool(
            PoolSettings(n_processes=1, deadline_s=deadline_s, n_retries=2),
            ChildSettings("memory://", "auto", 1),
            ChildCalls(faulty_child.load, faulty_child.inspect_batch),
        )
        try:
            return await pool.inspect(recipe, [InspectionRequest(picture, "image/png") for picture in pictures])
        finally:
            pool.stop()

    return asyncio.run(run())


def details(inspected: Sequence[Inspected]) -> list[tuple[DeadLetterReason, str]]:
    results = [each.result for each in inspected]
    assert all(isinstance(result, Refusal) for result in results)
    return [(result.reason, result.detail) for result in results if isinstance(result, Refusal)]


@pytest.mark.parametrize("fault", [b"hang", b"segfault", b"raise", b"exit"])
def test_a_frame_that_breaks_the_engine_is_refused_after_bounded_tries_and_its_neighbours_are_whole(
    fault: bytes,
) -> None:
    before, broken, after = details(inspect([b"one", fault, b"two"]))
    assert before == (DeadLetterReason.CORRUPT_PICTURE, "one")
    assert after == (DeadLetterReason.CORRUPT_PICTURE, "two")
    assert broken[0] is DeadLetterReason.ENGINE_FAULT
    assert "3 times" in broken[1]


def test_a_hanging_frame_costs_its_deadlines_and_not_more() -> None:
    start = time.monotonic()
    inspect([b"hang"], deadline_s=0.5)
    assert time.monotonic() - start < 10


def test_an_engine_that_dies_once_is_retried_and_the_frame_is_answered(tmp_path: Path) -> None:
    flaky = b"flaky:" + str(tmp_path / "marker").encode()
    assert details(inspect([b"one", flaky]))[1][0] is DeadLetterReason.CORRUPT_PICTURE


def test_a_bundle_that_cannot_be_loaded_is_a_set_up_error_and_no_frame_is_condemned() -> None:
    recipe = RECIPE.model_copy(update={"bundle_sha256": "f" * 64})
    with pytest.raises(SetupError, match="no such bundle"):
        inspect([b"one"], recipe)

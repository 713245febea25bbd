from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from agents.live_recipes import LiveRecipes
from agents.recipe_book import RecipeBook, recipe_stamp
from agents.session import Session
from schemas.errors import SetupError, TransientError
from schemas.recipe import Recipe
from schemas.verdict import Thresholds


def recipe(product: str, bundle: str, revision: int = 1) -> Recipe:
    return Recipe(
        station="a/b/c",
        product=product,
        revision=revision,
        bundle_sha256=bundle * 64,
        thresholds=Thresholds(review=1.0, fail=2.0),
    )


class FakeSession:
    """Hands out the book the test sets."""

    def __init__(self, *recipes: Recipe) -> None:
        self.show(*recipes)

    def show(self, *recipes: Recipe) -> None:
        stamp = str(sum(each.revision for each in recipes))
        self.book = RecipeBook({(each.station, each.product): each for each in recipes}, {"a/b/c": "plate"}, stamp)

    async def run(self, transaction: Callable[[Any], Any]) -> object:
        return self.book.stamp if transaction is recipe_stamp else self.book


class Loader:
    """Loads any bundle but those named."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.broken: dict[str, Exception] = {}

    async def load(self, bundle_sha256: str) -> None:
        if bundle_sha256 in self.broken:
            raise self.broken[bundle_sha256]
        self.loaded.append(bundle_sha256)


async def following(session: FakeSession, loader: Loader, steps: Callable[[LiveRecipes], Any]) -> None:
    recipes = LiveRecipes(cast(Session, session), loader.load, every_s=0.01)
    task = asyncio.create_task(recipes.follow())
    try:
        await asyncio.wait_for(steps(recipes), 5)
    finally:
        task.cancel()


def test_a_frame_waits_for_the_first_book_and_an_unnamed_product_is_the_stations_own() -> None:
    session, loader = FakeSession(recipe("plate", "a")), Loader()

    async def steps(recipes: LiveRecipes) -> None:
        product, found = await recipes.lookup("a/b/c", None)
        assert (product, found) == ("plate", recipe("plate", "a"))
        assert await recipes.lookup("x/y/z", None) == (None, None)

    asyncio.run(following(session, loader, steps))
    assert loader.loaded == ["a" * 64]


def test_a_new_revision_takes_effect_only_after_its_bundle_is_loaded() -> None:
    session, loader = FakeSession(recipe("plate", "a")), Loader()

    async def steps(recipes: LiveRecipes) -> None:
        await recipes.lookup("a/b/c", "plate")
        session.show(recipe("plate", "b", revision=2))
        while (found := (await recipes.lookup("a/b/c", "plate"))[1]) is not None and found.revision == 1:
            await asyncio.sleep(0.005)
        assert loader.loaded == ["a" * 64, "b" * 64]

    asyncio.run(following(session, loader, steps))


def test_a_new_bundle_that_cannot_be_loaded_leaves_the_recipe_before_in_force_and_others_change() -> None:
    session, loader = FakeSession(recipe("plate", "a")), Loader()
    loader.broken["b" * 64] = SetupError("altered")

    async def steps(recipes: LiveRecipes) -> None:
        await recipes.lookup("a/b/c", "plate")
        session.show(recipe("plate", "b", revision=2), recipe("disc", "c"))
        while (await recipes.lookup("a/b/c", "disc"))[1] is None:
            await asyncio.sleep(0.005)
        assert (await recipes.lookup("a/b/c", "plate"))[1] == recipe("plate", "a")

    asyncio.run(following(session, loader, steps))


def test_while_the_bundle_store_is_away_the_load_is_tried_again() -> None:
    session, loader = FakeSession(recipe("plate", "a")), Loader()
    loader.broken["a" * 64] = TransientError("away")

    async def steps(recipes: LiveRecipes) -> None:
        await asyncio.sleep(0.05)
        loader.broken.clear()
        assert (await recipes.lookup("a/b/c", "plate"))[1] is not None

    asyncio.run(following(session, loader, steps))


def test_a_broken_bundle_in_the_first_book_stops_the_worker_before_it_consumes() -> None:
    session, loader = FakeSession(recipe("plate", "a")), Loader()
    loader.broken["a" * 64] = SetupError("altered")
    recipes = LiveRecipes(cast(Session, session), loader.load)
    with pytest.raises(SetupError, match="altered"):
        asyncio.run(asyncio.wait_for(recipes.follow(), 5))

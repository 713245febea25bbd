"""The recipe book of a running worker: follows the database, and loads new bundles before they take effect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agents.recipe_book import RecipeBook, recipe_stamp
from agents.session import Session
from schemas.errors import EngineFault, SetupError, TransientError
from schemas.recipe import Recipe

_log = logging.getLogger(__name__)


class LiveRecipes:
    """Looks recipes up in the newest book; a new revision takes effect between two frames.

    Args:
        session: its own connection; while the database is away the book in hand stays in force.
        load: has the engines load a bundle (by sha256).
        every_s: seconds between two looks at the database.
    """

    def __init__(self, session: Session, load: Callable[[str], Awaitable[None]], every_s: float = 0.5) -> None:
        self._session = session
        self._load = load
        self._every_s = every_s
        self._book = RecipeBook({}, {})
        self._read = asyncio.Event()

    async def lookup(self, station: str, product: str | None) -> tuple[str | None, Recipe | None]:
        """The product inspected and its recipe, if any; waits until the first book was read."""
        await self._read.wait()
        return self._book.lookup(station, product)

    async def follow(self) -> None:
        """Follow the database for ever.

        Raises: SetupError when a bundle of the very first book cannot be used; later ones are refused in the log
        and the book before stays in force.
        """
        while True:
            if not self._read.is_set() or await self._session.run(recipe_stamp) != self._book.stamp:
                await self._adopt(await self._session.run(RecipeBook.load))
            await asyncio.sleep(self._every_s)

    async def _adopt(self, book: RecipeBook) -> None:
        known = {recipe.bundle_sha256 for recipe in self._book.recipes.values()}
        new = {recipe.bundle_sha256 for recipe in book.recipes.values()} - known
        refused: set[str] = set()
        for bundle_sha256 in sorted(new):
            try:
                await self._load(bundle_sha256)
            except TransientError as error:
                _log.warning("bundle store is away, recipes stay as they are for now: %s", error)
                return
            except (SetupError, EngineFault) as error:
                if not self._read.is_set():
                    raise SetupError(f"a recipe in force names a bundle that cannot be used: {error}") from error
                _log.critical("bundle %s refused, the recipes before it stay in force: %s", bundle_sha256, error)
                refused.add(bundle_sha256)
        self._book = self._without(refused, book)
        self._read.set()
        _log.info("recipe book %s: %d recipes in force", book.stamp, len(self._book.recipes))

    def _without(self, refused: set[str], book: RecipeBook) -> RecipeBook:
        """`book` with every recipe whose bundle was refused replaced by the one before it, if there was one."""
        usable = {
            key: recipe if recipe.bundle_sha256 not in refused else self._book.recipes.get(key)
            for key, recipe in book.recipes.items()
        }
        recipes = {key: recipe for key, recipe in usable.items() if recipe is not None}
        return RecipeBook(recipes, book.default_products, book.stamp)

"""The recipe book: which recipe is in force for each station and product, and which product a station is set to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from agents.database import Connection, database_edge
from schemas.errors import SetupError
from schemas.recipe import Recipe, WindowSettings
from schemas.verdict import Thresholds

_STAMP = (
    "SELECT (SELECT count(*) FROM sightline.recipe)::text || ':' || coalesce(md5(string_agg("
    "station || chr(31) || product, chr(30) ORDER BY station)), '-') FROM sightline.station WHERE product IS NOT NULL"
)
"""Revisions are only ever added, so their number tells; a station's product can be changed, so all of them do."""
RECIPE_COLUMNS = (
    "station, product, revision, bundle_sha256, threshold_review, threshold_fail, min_area_px, ignore_px,"
    " deadline_ms, pass_sample, window_settings"
)
_NEWEST = (
    f"SELECT DISTINCT ON (station, product) {RECIPE_COLUMNS} FROM sightline.recipe"
    " ORDER BY station, product, revision DESC"
)


@dataclass(frozen=True, slots=True)
class RecipeBook:
    """Newest recipe by (station, product), the product each station is set to, and the stamp of both."""

    recipes: Mapping[tuple[str, str], Recipe]
    default_products: Mapping[str, str]
    stamp: str = ""

    @classmethod
    def load(cls, conn: Connection) -> RecipeBook:
        """The book as it stands. Raises: SetupError when a row is no recipe; TransientError."""
        stamp = recipe_stamp(conn)  # read first: a change after it makes the next poll load again
        with database_edge():
            rows = conn.execute(_NEWEST.encode()).fetchall()
            stations = conn.execute("SELECT station, product FROM sightline.station WHERE product IS NOT NULL")
            default_products: dict[str, str] = dict(stations.fetchall())
        recipes = [recipe_of_row(row) for row in rows]
        return cls({(recipe.station, recipe.product): recipe for recipe in recipes}, default_products, stamp)

    def lookup(self, station: str, product: str | None) -> tuple[str | None, Recipe | None]:
        """The product inspected, which is the station's own when the frame names none, and its recipe if any."""
        inspected = product or self.default_products.get(station)
        return inspected, self.recipes.get((station, inspected)) if inspected else None


def recipe_stamp(conn: Connection) -> str:
    """A text that changes whenever the book does; one cheap query, to be asked every second. Raises: TransientError."""
    with database_edge():
        row = conn.execute(_STAMP.encode()).fetchone()
    return str(row[0]) if row else ""


def recipe_of_row(row: tuple[Any, ...]) -> Recipe:
    """The recipe in a row of RECIPE_COLUMNS. Raises: SetupError naming the row and the field at fault."""
    station, product, revision, bundle_sha256, review, fail, min_area_px, ignore_px, *rest = row
    deadline_ms, pass_sample, window = rest
    try:
        return Recipe(
            station=station,
            product=product,
            revision=revision,
            bundle_sha256=bundle_sha256,
            thresholds=Thresholds(review=review, fail=fail),
            min_area_px=min_area_px,
            ignore_px=tuple(tuple(box) for box in ignore_px),
            deadline_ms=deadline_ms,
            pass_sample=pass_sample,
            window=WindowSettings.model_validate(window),
        )
    except (ValidationError, TypeError) as exc:
        raise SetupError(
            f"recipe {station} / {product} revision {revision} in the database is not valid: {exc}; "
            "activate a bundle for it again, which writes a new revision"
        ) from exc

"""A question to one of the SQL views: which columns, which filters, which order, as one statement anyone can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from schemas.errors import InputError
from schemas.tables import SCHEMA


@dataclass(frozen=True, slots=True)
class View:
    """A view as `sightline history` shows it; `columns` are the ones a table on a terminal has room for."""

    name: str
    question: str
    columns: tuple[str, ...]
    order: str
    time: str | None
    has_product: bool = True


VIEWS: Mapping[str, View] = {
    "yield": View(
        "v_yield",
        "how good was each hour?",
        ("hour", "station", "product", "n_pass", "n_fail", "n_review", "n_uninspected", "first_pass_yield"),
        "hour DESC, station, product",
        "hour",
    ),
    "pareto": View(
        "v_pareto",
        "which defects, and where on the part?",
        ("kind", "region", "n", "n_frames", "station", "product", "max_score", "last_at"),
        "n DESC, kind, region",
        "last_at",
    ),
    "systematic": View(
        "v_systematic",
        "what keeps coming back at one place?",
        ("alert_id", "state", "cause", "station", "product", "region", "delay_frames", "confirmed_at", "text"),
        "is_open DESC, suspected_at DESC NULLS LAST, alert_id",
        "suspected_at",
    ),
    "overkill": View(
        "v_overkill",
        "how often were we wrong, by recipe?",
        (
            "station",
            "product",
            "recipe_revision",
            "n_inspected",
            "n_answered",
            "n_false_call",
            "n_escape",
            "false_calls_per_1000",
            "escapes_per_1000",
        ),
        "station, product, recipe_revision DESC",
        None,
    ),
    "unit": View(
        "v_unit",
        "what became of each part, and who has not seen it?",
        ("unit_id", "worst_outcome", "stations", "stations_missing", "lots", "n_frames", "last_at"),
        "last_at DESC, unit_id",
        "last_at",
        has_product=False,
    ),
    "unit-history": View(
        "v_unit_history",
        "everything that was decided on a part",
        (
            "unit_id",
            "captured_at",
            "station",
            "kind",
            "outcome",
            "reason",
            "score",
            "recipe_revision",
            "answer",
            "verdict_id",
        ),
        "unit_id, captured_at, station, kind",
        "captured_at",
    ),
    "gap": View(
        "v_gap",
        "which frames never arrived?",
        ("station", "epoch", "after_sequence", "before_sequence", "n_missing", "after_at", "before_at"),
        "before_at DESC, station",
        "before_at",
        has_product=False,
    ),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What a person asked to see; None is no limit."""

    station: str | None = None
    product: str | None = None
    unit: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def given(self) -> Sequence[str]:
        """Names of the options that were given."""
        return [name for name in self.__slots__ if getattr(self, name) is not None]


def applicable(view: View, filters: Filters) -> bool:
    """Whether the view has a column for every filter given."""
    return not _unusable(view, filters)


def statement(view: View, filters: Filters, limit: int, columns: Sequence[str] = ()) -> sql.Composed:
    """The query, complete: what it prints as is what runs.

    Raises: InputError naming a filter the view has no column for.
    """
    if unusable := _unusable(view, filters):
        raise InputError(f"{view.name} cannot be filtered by --{unusable[0]}: it has no such column")
    wanted = sql.SQL(", ").join(map(sql.SQL, columns)) if columns else sql.SQL("*")
    head = sql.SQL("SELECT {} FROM {}").format(wanted, sql.SQL(f"{SCHEMA}.{view.name}"))
    conditions = list(_conditions(view, filters))
    where = sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("")
    tail = sql.SQL(" ORDER BY {} LIMIT {}").format(sql.SQL(view.order), sql.Literal(limit))
    return sql.Composed([head, where, tail])


def _unusable(view: View, filters: Filters) -> list[str]:
    missing = {
        "station": view.name == "v_unit",
        "product": not view.has_product,
        "unit": not view.name.startswith("v_unit"),
        "since": view.time is None,
        "until": view.time is None,
    }
    return [name for name in filters.given() if missing[name]]


def _conditions(view: View, filters: Filters) -> list[sql.Composed]:
    time = sql.SQL(view.time or "")
    pairs = [
        ("{} = {}", sql.SQL("station"), filters.station),
        ("{} = {}", sql.SQL("product"), filters.product),
        ("{} = {}", sql.SQL("unit_id"), filters.unit),
        ("{} >= {}", time, filters.since),
        ("{} < {}", time, filters.until),
    ]
    return [sql.SQL(shape).format(column, sql.Literal(value)) for shape, column, value in pairs if value is not None]

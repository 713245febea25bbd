"""Activation: a bundle becomes the newest recipe of a station and product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import ValidationError

from agents.database import Connection, database_edge
from agents.recipe_book import RECIPE_COLUMNS, recipe_of_row
from agents.records.stations import register_stations
from engines.bundle import Bundle
from engines.manifest import Manifest
from pipeline.fusion_members import Fuser
from schemas.errors import InputError, SetupError
from schemas.frame import station_of_source
from schemas.recipe import Recipe, WindowSettings
from schemas.store import ContentStore
from schemas.verdict import Box, Thresholds

BUNDLE_SUFFIX = ".bundle"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the recipe is to say; None keeps the bundle's word (thresholds, areas, scale) or the last revision's."""

    review: float | None = None
    fail: float | None = None
    min_area_px: int | None = None
    min_area_mm2: float | None = None
    um_per_px: float | None = None
    ignore_px: tuple[Box, ...] | None = None
    deadline_ms: float | None = None
    pass_sample: float | None = None
    window: WindowSettings | None = None


@dataclass(frozen=True, slots=True)
class Activated:
    """The recipe now in force, where its bundle lies, and the product the station is set to."""

    recipe: Recipe
    ref: str
    default_product: str | None
    bundle_product: str


def check_activable(bundle: Bundle, name: str) -> None:
    """Raises: SetupError unless its parity report has every backend hold and what fuses in it, if anything, works."""
    parity = bundle.manifest.parity
    if parity is None:
        raise SetupError(f"{name} has no parity report: run `sightline bundle parity {name}` before activating it")
    failed = [entry for entry in parity.entries if not entry.holds]
    if failed:
        worst = "; ".join(
            f"{entry.backend} ({entry.precision}) differs by {entry.max_difference:.3g} with {entry.n_flips} flips"
            for entry in failed
        )
        raise SetupError(
            f"{name} fails parity: {worst}; the tolerance is {parity.tolerance:.3g}: train or compile it again"
        )
    Fuser.of_bundle(bundle)


def activate(
    conn: Connection,
    store: ContentStore,
    content: bytes,
    *,
    station: str,
    product: str,
    wishes: Wishes,
    name: str = "bundle",
    set_default: bool = False,
) -> Activated:
    """Keep the bundle in `store`, then write its row and a new recipe revision; workers see it within a second.

    Args:
        content: the bundle file, verified whole before anything is written.
        set_default: make `product` the one the station inspects when a frame names none; it is so anyway when the
            station has none yet.
    The caller owns the transaction. Two activations of one station wait for one another.
    Raises: SetupError for a bad bundle; InputError for a bad station or threshold; TransientError.
    """
    bundle = Bundle.from_bytes(content, name)
    check_activable(bundle, name)
    station, site, line = _place(station)
    ref = store.put(content, BUNDLE_SUFFIX)
    with database_edge():
        conn.execute("INSERT INTO sightline.product (product) VALUES (%s) ON CONFLICT DO NOTHING", [product])
        register_stations(conn, [(station, site, line)])
        conn.execute("SELECT FROM sightline.station WHERE station = %s FOR UPDATE", [station])
        conn.execute(
            "INSERT INTO sightline.bundle (bundle_sha256, product, ref, size_bytes, manifest)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (bundle_sha256) DO UPDATE SET ref = excluded.ref",
            [bundle.sha256, bundle.manifest.product, ref, len(content), Jsonb(bundle.manifest.model_dump(mode="json"))],
        )
        recipe = _next_recipe(conn, bundle, station, product, wishes)
        _insert(conn, recipe)
        default = conn.execute(
            "UPDATE sightline.station SET state = 'assigned',"
            " product = CASE WHEN %(force)s OR product IS NULL THEN %(product)s ELSE product END"
            " WHERE station = %(station)s RETURNING product",
            {"force": set_default, "product": product, "station": station},
        ).fetchone()
    return Activated(recipe, ref, default[0] if default else None, bundle.manifest.product)


def _place(station: str) -> tuple[str, str, str]:
    try:
        key = station_of_source(station)
    except ValueError as exc:
        raise InputError(f"station {station!r} is not site/line/station, such as lab/line1/cam0") from exc
    site, line, _ = key.split("/")
    return key, site, line


def _least_area(manifest: Manifest, wishes: Wishes) -> int:
    if wishes.min_area_mm2 is None:
        return manifest.min_area_px if wishes.min_area_px is None else wishes.min_area_px
    if wishes.min_area_px is not None:
        raise InputError("give the smallest defect in pixels or in mm², not both")
    scale = manifest.um_per_px if wishes.um_per_px is None else wishes.um_per_px
    if scale is None:
        raise InputError(
            f"min_area_mm2 {wishes.min_area_mm2:g}: how large a pixel is, is not known; give --um-per-px, here or to "
            "`sightline train`"
        )
    if wishes.min_area_mm2 <= 0 or scale <= 0:
        raise InputError(f"min_area_mm2 {wishes.min_area_mm2:g} and um_per_px {scale:g} have to be above 0")
    return manifest.area_px(wishes.min_area_mm2, scale)


def _next_recipe(conn: Connection, bundle: Bundle, station: str, product: str, wishes: Wishes) -> Recipe:
    row = conn.execute(
        f"SELECT {RECIPE_COLUMNS} FROM sightline.recipe WHERE station = %s AND product = %s"
        " ORDER BY revision DESC LIMIT 1".encode(),
        [station, product],
    ).fetchone()
    manifest = bundle.manifest
    held = _held(row) if row else {}
    wished = {
        "deadline_ms": wishes.deadline_ms,
        "pass_sample": wishes.pass_sample,
        "window": wishes.window.model_dump() if wishes.window else None,
    }
    try:
        return Recipe(
            station=station,
            product=product,
            revision=row[2] + 1 if row else 1,
            bundle_sha256=bundle.sha256,
            thresholds=Thresholds(
                review=manifest.thresholds.review if wishes.review is None else wishes.review,
                fail=manifest.thresholds.fail if wishes.fail is None else wishes.fail,
            ),
            min_area_px=_least_area(manifest, wishes),
            ignore_px=manifest.ignore_px if wishes.ignore_px is None else wishes.ignore_px,
            **held | {name: value for name, value in wished.items() if value is not None},
        )
    except ValidationError as exc:
        faults = "; ".join(f"{'.'.join(map(str, error['loc']))} {error['msg']}".strip() for error in exc.errors())
        raise InputError(f"the recipe of {station} / {product} would not be valid: {faults}") from exc


def _held(row: tuple[Any, ...]) -> dict[str, Any]:
    """What the revision before says and a bundle does not; nothing when that revision is not valid."""
    try:
        return recipe_of_row(row).model_dump(include={"deadline_ms", "pass_sample", "window"})
    except SetupError:
        return {}


def _insert(conn: Connection, recipe: Recipe) -> None:
    conn.execute(
        f"INSERT INTO sightline.recipe ({RECIPE_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)".encode(),
        [
            recipe.station,
            recipe.product,
            recipe.revision,
            recipe.bundle_sha256,
            recipe.thresholds.review,
            recipe.thresholds.fail,
            recipe.min_area_px,
            Jsonb(recipe.ignore_px),
            recipe.deadline_ms,
            recipe.pass_sample,
            Jsonb(recipe.window.model_dump()),
        ],
    )

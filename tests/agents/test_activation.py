from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.activation import Activated, Wishes, activate
from agents.database import Connection, connect
from agents.recipe_book import RecipeBook, recipe_stamp
from pipeline.fusion_members import NETWORK, RULES, TREES
from schemas.errors import InputError, SetupError
from schemas.recipe import WindowSettings
from schemas.store import ContentStore
from schemas.verdict import Thresholds
from tests.bundles import a_bundle_file, a_bundle_file_without_parity, a_parity_report
from tests.verdicts import STATION


@pytest.fixture
def conn(shared_database: str) -> Iterator[Connection]:
    with connect(shared_database) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(f"file://{tmp_path}/bundles")


def do(conn: Connection, store: ContentStore, content: bytes, product: str = "plate", **more: Any) -> Activated:
    fields = {"station": STATION, "wishes": Wishes(), **more}
    return activate(conn, store, content, product=product, **fields)


def rules_without_causes() -> bytes:
    """What fuses, as it was before causes were learnt."""
    file = io.BytesIO()
    np.savez(file, names=np.array(["Force"]), rule=np.zeros(5))
    return file.getvalue()


def test_an_activated_bundle_is_in_the_store_and_its_recipe_in_the_book(conn: Connection, store: ContentStore) -> None:
    content = a_bundle_file()
    done = do(conn, store, content)
    sha256 = hashlib.sha256(content).hexdigest()
    assert done.ref == store.ref(sha256, ".bundle")
    assert store.get(done.ref) == content
    assert conn.execute("SELECT bundle_sha256, ref, size_bytes FROM sightline.bundle").fetchall() == [
        (sha256, done.ref, len(content))
    ]
    book = RecipeBook.load(conn)
    product, recipe = book.lookup(STATION, None)
    assert (product, recipe) == ("plate", done.recipe)
    assert recipe is not None
    assert (recipe.revision, recipe.thresholds, recipe.min_area_px) == (1, Thresholds(review=0.4, fail=0.5), 5)
    assert recipe.ignore_px == ((1, 2, 3, 4),)


def test_a_second_bundle_is_the_next_revision_and_the_first_stays_on_record(
    conn: Connection, store: ContentStore
) -> None:
    do(conn, store, a_bundle_file())
    second = do(conn, store, a_bundle_file(fail=0.9)).recipe
    assert second.revision == 2
    assert RecipeBook.load(conn).recipes == {(STATION, "plate"): second}
    assert conn.execute("SELECT count(*) FROM sightline.recipe").fetchone() == (2,)


def test_what_the_line_wants_is_carried_over_and_what_the_bundle_knows_is_not(
    conn: Connection, store: ContentStore
) -> None:
    wishes = Wishes(review=0.45, deadline_ms=250.0, pass_sample=0.5, window=WindowSettings(frames=15))
    first = do(conn, store, a_bundle_file(), wishes=wishes).recipe
    assert (first.thresholds.review, first.deadline_ms, first.window.frames) == (0.45, 250.0, 15)
    second = do(conn, store, a_bundle_file(fail=0.9), wishes=Wishes(pass_sample=0.1)).recipe
    assert second.thresholds == Thresholds(review=0.4, fail=0.9)
    assert (second.deadline_ms, second.pass_sample, second.window.frames) == (250.0, 0.1, 15)


def test_the_first_product_becomes_the_stations_own_and_stays_it_until_told(
    conn: Connection, store: ContentStore
) -> None:
    assert do(conn, store, a_bundle_file()).default_product == "plate"
    assert do(conn, store, a_bundle_file("screw"), "screw").default_product == "plate"
    assert RecipeBook.load(conn).lookup(STATION, None)[0] == "plate"
    assert do(conn, store, a_bundle_file("screw"), "screw", set_default=True).default_product == "screw"
    book = RecipeBook.load(conn)
    product, recipe = book.lookup(STATION, None)
    assert (product, recipe and recipe.revision) == ("screw", 2)
    assert book.lookup("other/line/cam", None) == (None, None)
    assert book.lookup(STATION, "unknown") == ("unknown", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (a_bundle_file()[:-100], "bundle"),
        (a_bundle_file().replace(b"model", b"m0del"), "damaged"),
        (a_bundle_file_without_parity(), "no parity report.*sightline bundle parity"),
        (a_bundle_file(parity=a_parity_report(holds=False)), "fails parity: openvino.*3 flips"),
        (a_bundle_file(more={NETWORK: b"net"}), f"not {RULES} and {TREES}; train it again with --labels"),
        (
            a_bundle_file(more={NETWORK: b"net", TREES: b"trees", RULES: rules_without_causes()}),
            "older Sightline without causes; train it again with --labels",
        ),
    ],
    ids=["truncated", "altered", "no parity", "parity fails", "fusing in part", "fusing as before"],
)
def test_a_bad_bundle_is_refused_and_leaves_nothing(
    conn: Connection, store: ContentStore, content: bytes, message: str
) -> None:
    with pytest.raises(SetupError, match=message):
        do(conn, store, content)
    assert RecipeBook.load(conn).recipes == {}
    assert conn.execute("SELECT count(*) FROM sightline.station").fetchone() == (0,)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"wishes": Wishes(review=0.6)}, "thresholds.review 0.6 exceeds thresholds.fail 0.5"),
        ({"wishes": Wishes(deadline_ms=-1.0)}, "deadline_ms"),
        ({"station": "lab/cam0"}, "not site/line/station"),
    ],
)
def test_an_impossible_wish_is_refused_and_leaves_nothing(
    database: str, store: ContentStore, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message), connect(database) as conn:
        do(conn, store, a_bundle_file(), **more)
    with connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM sightline.station").fetchone() == (0,)


def test_a_leading_slash_as_in_a_source_names_the_same_station(conn: Connection, store: ContentStore) -> None:
    assert do(conn, store, a_bundle_file(), station=f"/{STATION}").recipe.station == STATION


def test_the_stamp_changes_when_the_book_does_and_only_then(conn: Connection, store: ContentStore) -> None:
    stamps = [recipe_stamp(conn)]
    for _ in range(2):
        do(conn, store, a_bundle_file())
        stamps.append(recipe_stamp(conn))
    conn.execute("INSERT INTO sightline.product VALUES ('other')")
    conn.execute("UPDATE sightline.station SET product = 'other'")
    stamps.append(recipe_stamp(conn))
    assert len(set(stamps)) == 4
    conn.execute("INSERT INTO sightline.station (station, site, line) VALUES ('a/b/c', 'a', 'b')")
    assert recipe_stamp(conn) == stamps[-1] == RecipeBook.load(conn).stamp


def test_two_activations_at_once_are_two_revisions(database: str, store: ContentStore) -> None:
    def one(fail: float) -> int:
        with connect(database) as conn:
            return do(conn, store, a_bundle_file(fail=fail)).recipe.revision

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(one, [0.5, 0.6, 0.7, 0.8])) == [1, 2, 3, 4]


def test_a_recipe_that_cannot_be_read_names_itself_and_a_new_revision_heals_it(
    conn: Connection, store: ContentStore
) -> None:
    do(conn, store, a_bundle_file())
    conn.execute("UPDATE sightline.recipe SET window_settings = '{\"frames\": 1}'")
    with pytest.raises(SetupError, match=f"recipe {STATION} / plate revision 1"):
        RecipeBook.load(conn)
    do(conn, store, a_bundle_file())
    assert RecipeBook.load(conn).recipes[STATION, "plate"].revision == 2


def test_the_smallest_defect_in_mm2_becomes_pixels_of_the_template(conn: Connection, store: ContentStore) -> None:
    wishes = Wishes(min_area_mm2=0.01, um_per_px=10.0)  # 100 px of the frame, whose sides are halved
    assert do(conn, store, a_bundle_file(), wishes=wishes).recipe.min_area_px == 25
    with pytest.raises(InputError, match="give --um-per-px"):
        do(conn, store, a_bundle_file(), wishes=Wishes(min_area_mm2=0.01))
    with pytest.raises(InputError, match="not both"):
        do(conn, store, a_bundle_file(), wishes=Wishes(min_area_mm2=0.01, um_per_px=10.0, min_area_px=3))
    with pytest.raises(InputError, match="above 0"):
        do(conn, store, a_bundle_file(), wishes=Wishes(min_area_mm2=-1.0, um_per_px=10.0))


def test_ignored_boxes_are_the_stations_own(conn: Connection, store: ContentStore) -> None:
    recipe = do(conn, store, a_bundle_file(), wishes=Wishes(ignore_px=((5, 6, 7, 8),))).recipe
    assert recipe.ignore_px == ((5, 6, 7, 8),)

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from agents.database import connect
from agents.recipe_book import RecipeBook
from schemas.store import ContentStore
from tests.bundles import a_bundle_file, a_bundle_file_without_parity, a_parity_report
from tests.deploy.commands.conftest import Sightline

STATION = "lab/line1/cam0"


def bundle(folder: Path, content: bytes) -> str:
    path = folder / "plate.bundle"
    path.write_bytes(content)
    return str(path)


def test_a_good_bundle_is_in_force_and_in_the_store_of_the_state_folder(
    sightline: Sightline, database: str, tmp_path: Path
) -> None:
    content = a_bundle_file()
    where = ["--station", STATION, "--postgres", database, "--state", str(tmp_path / "state")]
    ran = sightline(
        "activate", bundle(tmp_path, content), "--product", "plate", *where, "--deadline-ms", "90", "--json"
    )
    assert ran.code == 0, ran.err
    printed = json.loads(ran.out)
    assert (printed["revision"], printed["deadline_ms"], printed["default_product"]) == (1, 90.0, "plate")
    assert ContentStore(f"file://{tmp_path}/state/bundles").get(printed["ref"]) == content
    with connect(database) as conn:
        assert RecipeBook.load(conn).recipes[STATION, "plate"].bundle_sha256 == hashlib.sha256(content).hexdigest()
    again = sightline("activate", bundle(tmp_path, content), "--product", "other", *where)
    assert again.code == 0
    assert "trained as 'plate'" in again.err
    assert "--set-default" in again.err


def test_a_bundle_that_is_not_what_was_asked_for_ends_with_2_and_writes_nothing(
    sightline: Sightline, database: str, tmp_path: Path
) -> None:
    where = ["--station", STATION, "--product", "plate", "--postgres", database]
    for content, more, message in [
        (a_bundle_file(), ["--sha256", "0" * 64], "it is another file, or was altered"),
        (a_bundle_file()[:-1], [], "bundle"),
        (a_bundle_file_without_parity(), [], "sightline bundle parity"),
        (a_bundle_file(parity=a_parity_report(holds=False)), [], "fails parity"),
    ]:
        ran = sightline("activate", bundle(tmp_path, content), *where, *more)
        assert (ran.code, ran.out) == (2, "")
        assert message in ran.err
    assert sightline("activate", str(tmp_path / "none.bundle"), *where).code == 2
    with connect(database) as conn:
        assert RecipeBook.load(conn).recipes == {}


def test_an_impossible_threshold_ends_with_1(sightline: Sightline, database: str, tmp_path: Path) -> None:
    path = bundle(tmp_path, a_bundle_file())
    ran = sightline(
        "activate", path, "--station", STATION, "--product", "plate", "--postgres", database, "--review", "7"
    )
    assert ran.code == 1
    assert "exceeds thresholds.fail" in ran.err


def test_without_a_database_the_message_says_how_to_give_one(sightline: Sightline, tmp_path: Path) -> None:
    ran = sightline("activate", bundle(tmp_path, a_bundle_file()), "--station", STATION, "--product", "plate")
    assert ran.code == 2
    assert "--postgres" in ran.err


def test_a_stations_own_boxes_and_areas_are_in_its_recipe_and_a_wrong_box_ends_with_1(
    sightline: Sightline, database: str, tmp_path: Path
) -> None:
    where = ["--station", STATION, "--product", "plate", "--postgres", database, "--state", str(tmp_path / "state")]
    areas = ["--min-area-mm2", "0.01", "--um-per-px", "10"]
    path = bundle(tmp_path, a_bundle_file())
    ran = sightline("activate", path, *where, "--ignore", "1,2,30,4", "--ignore", "5,6,7,8", *areas, "--json")
    assert ran.code == 0, ran.err
    printed = json.loads(ran.out)
    assert (printed["ignore_px"], printed["min_area_px"]) == ([[1, 2, 30, 4], [5, 6, 7, 8]], 25)
    wrong = sightline("activate", path, *where, "--ignore", "1,2,30")
    assert wrong.code == 1 and "x,y,width,height" in wrong.err

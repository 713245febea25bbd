from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.published import FOLDER, SCHEMAS
from tests.databases import fresh_database
from tests.deploy.commands.conftest import Sightline


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_printed_as_it_is_published(sightline: Sightline, name: str) -> None:
    ran = sightline("schema", name)
    assert json.loads(ran.out) == json.loads((FOLDER / f"{name}.json").read_text())


def test_all_schemas_are_written_to_a_folder(sightline: Sightline, tmp_path: Path) -> None:
    assert sightline("schema", "--write", str(tmp_path / "json")).code == 0
    assert {path.stem for path in (tmp_path / "json").iterdir()} == set(SCHEMAS)


def test_an_unknown_schema_ends_with_1_and_names_those_there_are(sightline: Sightline) -> None:
    ran = sightline("schema", "verdicts")
    assert ran.code == 1
    assert "verdict, alert, frame" in ran.err


def test_migrate_says_where_it_is_and_where_it_went(sightline: Sightline, postgres_url: str) -> None:
    with fresh_database(postgres_url) as url:
        before = sightline("migrate", "--check", "--postgres", url)
        assert (before.code, "none" in before.out) == (1, True)
        assert "to 0001" in sightline("migrate", "--postgres", url).out
        assert "already" in sightline("migrate", "--postgres", url).out
        assert sightline("migrate", "--check", "--postgres", url).code == 0

from __future__ import annotations

import json

import psycopg
import pytest

from deploy.history_query import VIEWS
from schemas.tables import READER_ROLE
from tests.deploy.commands.conftest import Sightline


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_shown_as_a_table_and_as_json(sightline: Sightline, morning: str, view: str) -> None:
    ran = sightline("history", view, "--postgres", morning)
    assert ran.code == 0, ran.err
    for column in VIEWS[view].columns:
        assert column in ran.out
    rows = [json.loads(line) for line in sightline("history", view, "--postgres", morning, "--json").out.splitlines()]
    assert rows
    assert set(VIEWS[view].columns) < set(rows[0])
    assert {row["view"] for row in rows} == {VIEWS[view].name}


def test_without_a_view_the_newest_of_each_are_shown(sightline: Sightline, morning: str) -> None:
    ran = sightline("history", "--postgres", morning, "--limit", "1")
    assert all(view.name in ran.out for view in VIEWS.values())


def test_filters_narrow_the_rows(sightline: Sightline, morning: str) -> None:
    def seen(*arguments: str) -> list[dict[str, object]]:
        ran = sightline("history", *arguments, "--postgres", morning, "--json")
        assert ran.code == 0, ran.err
        return [json.loads(line) for line in ran.out.splitlines()]

    assert {row["station"] for row in seen("yield", "--station", "/lab/line1/cam1")} == {"lab/line1/cam1"}
    assert {row["hour"] for row in seen("yield", "--since", "2026-11-20T09:00:00Z")} == {"2026-11-20T09:00:00.000000Z"}
    assert {row["station"] for row in seen("yield", "--until", "1971-01-01")} == {"lab/line2/cam9"}
    assert [row["kind"] for row in seen("unit-history", "--unit", "SN04")] == ["live", "reinspection"]
    assert {row["view"] for row in seen("--unit", "SN04")} == {"v_unit", "v_unit_history"}
    assert seen("yield", "--product", "none such") == []


def test_a_filter_the_view_has_no_column_for_ends_with_1(sightline: Sightline, morning: str) -> None:
    ran = sightline("history", "yield", "--unit", "SN04", "--postgres", morning)
    assert ran.code == 1
    assert "--unit" in ran.err
    assert sightline("history", "nothing", "--postgres", morning).code == 1
    assert sightline("history", "yield", "--since", "yesterday", "--postgres", morning).code == 1


def test_the_printed_query_runs_in_psql_as_the_reader(sightline: Sightline, morning: str) -> None:
    ran = sightline("history", "--sql", "--since", "2026-11-20", "--station", "O'Hara/l/c")
    assert ran.code == 0
    with psycopg.connect(morning) as conn:
        conn.execute(f"SET ROLE {READER_ROLE}".encode())
        for statement in ran.out.split(";\n")[:-1]:
            assert conn.execute(statement.encode()).fetchall() == []


def test_a_database_that_was_never_migrated_ends_with_2_and_the_remedy(sightline: Sightline, postgres_url: str) -> None:
    ran = sightline("history", "yield", "--postgres", postgres_url)
    assert ran.code == 2
    assert "sightline migrate" in ran.err


def test_a_database_that_is_away_ends_with_1(sightline: Sightline) -> None:
    ran = sightline("history", "yield", "--postgres", "postgresql://u:secret@127.0.0.1:1/db")
    assert ran.code == 1
    assert "is away" in ran.err
    assert "secret" not in ran.err

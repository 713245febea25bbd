from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from agents.database import connect
from schemas.tables import READER_ROLE
from tests.databases import database_name, fresh_database, with_user
from tests.docs.sql_page import PAGE, Question, ask, questions, sections
from tests.worked_example import tell

TEXT = PAGE.read_text(encoding="utf-8")
PASSWORD = "reads-only"


@pytest.fixture(scope="module")
def morning(
    postgres_url: str, migrated_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """URLs of a database that holds the worked example: as its owner, and as one logs in with psql to read."""
    with fresh_database(postgres_url, template=database_name(migrated_database)) as url:
        with connect(url) as conn:
            tell(conn, tmp_path_factory.mktemp("morning"))
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(READER_ROLE), PASSWORD))
            yield url, with_user(url, READER_ROLE, PASSWORD)
            owner.execute(sql.SQL("ALTER ROLE {} PASSWORD NULL").format(sql.Identifier(READER_ROLE)))


@pytest.mark.parametrize("question", list(questions(TEXT)), ids=lambda question: question.section)
def test_psql_as_the_reader_gives_the_answer_on_the_page(morning: tuple[str, str], question: Question) -> None:
    _, reader = morning
    assert ask(reader, question.sql) == question.answer


def test_every_column_of_every_table_and_view_is_explained(shared_database: str) -> None:
    query = (
        "SELECT c.relname, array_agg(a.attname::text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE relnamespace = 'sightline'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition"
        " AND attnum > 0 AND NOT attisdropped AND relname <> 'alembic_version' GROUP BY 1"
    )
    explained = {name: text for title, text in sections(TEXT).items() for name in title.split(", ")}
    with connect(shared_database) as conn:
        for name, columns in conn.execute(query).fetchall():
            assert name in explained, f"docs/sql.md has no section for {name}"
            missing = [c for c in columns if f"`{c}`" not in explained[name] and f".{c}`" not in explained[name]]
            assert not missing, f"docs/sql.md does not explain {name}.{missing}"


def test_the_reader_who_logged_in_cannot_write(morning: tuple[str, str]) -> None:
    with psycopg.connect(morning[1]) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("DELETE FROM sightline.review")


def test_the_role_can_be_taken_without_a_password_by_whoever_may_write(morning: tuple[str, str]) -> None:
    url = f"{morning[0]}?options=-c%20role%3D{READER_ROLE}"
    assert ask(url, "SELECT current_user").splitlines()[2].strip() == READER_ROLE
    with psycopg.connect(url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("DELETE FROM sightline.review")

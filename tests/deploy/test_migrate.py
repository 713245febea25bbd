from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from deploy.migrate import current, head, upgrade
from schemas.errors import SetupError, TransientError
from schemas.tables import SCHEMA, Base
from tests.databases import database_name, fresh_database, with_user


@pytest.fixture
def empty(postgres_url: str) -> Iterator[str]:
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture
def nobody(postgres_url: str) -> Iterator[tuple[str, str]]:
    """(name, password) of an account that may do nothing."""
    name, password = "sightline_test_nobody", "pw"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))
        yield name, password
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_an_empty_database_is_brought_to_the_newest_revision_and_stays_there(empty: str) -> None:
    assert current(empty) is None
    assert upgrade(empty) == head()
    assert current(empty) == head()
    assert upgrade(empty) == head()


def test_two_at_once_wait_for_one_another(empty: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(upgrade, [empty] * 3)) == [head()] * 3


def test_this_month_and_a_year_of_months_to_come_have_their_partitions(empty: str) -> None:
    upgrade(empty)
    now = datetime.now(UTC)
    months = [divmod(now.year * 12 + now.month - 1 + ahead, 12) for ahead in range(13)]
    expected = {f"verdict_{year}_{month + 1:02}" for year, month in months} | {"verdict_default"}
    query = "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'"
    with psycopg.connect(empty) as conn:
        assert expected <= {row[0] for row in conn.execute(query).fetchall()}


def test_the_tables_in_python_are_those_in_the_database(shared_database: str) -> None:
    url = f"{shared_database}?options=-csearch_path%3Dpublic"
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": SCHEMA,
                "compare_type": True,
                "compare_server_default": True,
                "include_name": lambda name, kind, _: name == SCHEMA if kind == "schema" else True,
                "include_object": lambda _, name, kind, reflected, __: (
                    not (kind == "table" and reflected and name.startswith("verdict_"))
                ),
            },
        )
        assert compare_metadata(context, Base.metadata) == []


def test_a_database_of_a_newer_version_is_refused(empty: str) -> None:
    upgrade(empty)
    with psycopg.connect(empty) as conn:
        conn.execute("UPDATE sightline.alembic_version SET version_num = '9999'")
    with pytest.raises(SetupError, match="newer Sightline"):
        upgrade(empty)
    assert current(empty) == "9999"


def test_an_account_that_may_not_is_told_what_a_superuser_must_run(empty: str, nobody: tuple[str, str]) -> None:
    url = with_user(empty, *nobody)
    with pytest.raises(SetupError) as caught:
        upgrade(url)
    remedy = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert remedy == [f'GRANT CREATE ON DATABASE "{database_name(empty)}" TO "{nobody[0]}";']
    with psycopg.connect(empty, autocommit=True) as admin:
        for statement in remedy:
            admin.execute(statement.encode())
    assert upgrade(url) == head()
    with psycopg.connect(empty, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(nobody[0])))


def test_an_account_that_may_not_make_roles_is_told_to_have_them_made(empty: str, nobody: tuple[str, str]) -> None:
    with psycopg.connect(empty, autocommit=True) as admin:
        admin.execute("ALTER ROLE sightline_reader RENAME TO sightline_reader_aside")
        try:
            with pytest.raises(SetupError, match="CREATE ROLE sightline_writer LOGIN; CREATE ROLE sightline_reader"):
                upgrade(with_user(empty, *nobody))
        finally:
            admin.execute("ALTER ROLE sightline_reader_aside RENAME TO sightline_reader")


def test_a_server_that_is_away_is_transient() -> None:
    with pytest.raises(TransientError):
        upgrade("postgresql://nobody@127.0.0.1:1/db")

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from agents.database import Connection, connect
from agents.records import (
    claim_outbox,
    ensure_partitions,
    mark_outbox,
    prune_outbox,
    record_alerts,
    record_dead_letters,
    record_verdicts,
    save_root_cause,
)
from schemas.tables import READER_ROLE, WRITER_ROLE, Base
from tests.verdicts import NOON, STATION, a_dead_letter, a_failed_verdict, a_reading, an_alert

TABLES = sorted(table.fullname for table in Base.metadata.sorted_tables)
VIEWS = [f"sightline.v_{name}" for name in ["yield", "pareto", "systematic", "overkill", "unit", "unit_history", "gap"]]


@pytest.fixture
def conn(shared_database: str) -> Iterator[Connection]:
    with connect(shared_database) as connection:
        record_verdicts(connection, [a_failed_verdict()])
        yield connection
        connection.rollback()


def become(conn: Connection, role: str) -> None:
    conn.execute(f"SET LOCAL ROLE {role}".encode())


@pytest.mark.parametrize("name", TABLES + VIEWS)
def test_the_reader_reads_every_table_and_view(conn: Connection, name: str) -> None:
    become(conn, READER_ROLE)
    conn.execute(f"SELECT * FROM {name}".encode())


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO sightline.product (product) VALUES ('x')",
        "UPDATE sightline.verdict SET outcome = 'pass'",
        "DELETE FROM sightline.verdict",
        "TRUNCATE sightline.verdict",
        "CREATE TABLE sightline.mine (x int)",
        "DROP VIEW sightline.v_yield",
        "SELECT sightline.ensure_partitions(now(), 1)",
        "SELECT nextval('sightline.review_review_id_seq')",
    ],
)
def test_the_reader_changes_nothing(conn: Connection, statement: str) -> None:
    become(conn, READER_ROLE)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement.encode())


@pytest.mark.parametrize("n", [1, 101])
def test_the_writer_may_do_what_the_agents_do(conn: Connection, n: int) -> None:
    become(conn, WRITER_ROLE)
    record_verdicts(conn, [a_failed_verdict(f"frame-{index}", fields=(a_reading(),)) for index in range(n)])
    record_dead_letters(conn, [a_dead_letter(index) for index in range(n)])
    record_alerts(conn, [an_alert()])
    more = {"alerts": [an_alert(first_sequence=7)], "last_epoch": "e", "last_sequence": 1}
    save_root_cause(conn, STATION, "plate", state_bytes=b"", slots={1: b"x"}, version=0, **more)  # type: ignore[arg-type]
    save_root_cause(conn, STATION, "plate", state_bytes=b"", slots={1: None}, version=1, **more)  # type: ignore[arg-type]
    mark_outbox(conn, [record.outbox_id for record in claim_outbox(conn, 10)])
    prune_outbox(conn, keep_days=0)
    assert ensure_partitions(conn, NOON.replace(year=2050), 2) == 3


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM sightline.verdict",
        "DELETE FROM sightline.frame",
        "DELETE FROM sightline.review",
        "TRUNCATE sightline.dead_letter",
        "DROP TABLE sightline.verdict",
        "ALTER TABLE sightline.frame ADD COLUMN x int",
        "CREATE TABLE sightline.mine (x int)",
        "UPDATE sightline.alembic_version SET version_num = 'x'",
    ],
)
def test_the_writer_neither_deletes_history_nor_changes_its_shape(conn: Connection, statement: str) -> None:
    become(conn, WRITER_ROLE)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement.encode())


def test_a_table_made_later_is_open_to_both(conn: Connection) -> None:
    conn.execute("CREATE TABLE sightline.later (x int)")
    become(conn, WRITER_ROLE)
    conn.execute("INSERT INTO sightline.later VALUES (1)")
    conn.execute("RESET ROLE")
    become(conn, READER_ROLE)
    assert conn.execute("SELECT x FROM sightline.later").fetchall() == [(1,)]


def test_both_roles_can_log_in_and_can_do_nothing_else_on_the_server(conn: Connection) -> None:
    query = (
        "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = ANY(%s)"
    )
    assert conn.execute(query, [[READER_ROLE, WRITER_ROLE]]).fetchall() == [(True, False, False, False, False)] * 2

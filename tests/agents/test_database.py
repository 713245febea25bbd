from __future__ import annotations

import psycopg
import pytest

from agents.database import connect, database_edge, is_transient, redact
from agents.records import record_verdicts
from schemas.errors import SetupError, TransientError
from tests.databases import fresh_database, with_database
from tests.verdicts import a_verdict


def test_times_come_back_in_utc(database: str) -> None:
    with connect(database) as conn:
        assert conn.execute("SHOW timezone").fetchone() == ("UTC",)


@pytest.mark.parametrize("url", ["postgresql://nobody:x@127.0.0.1:1/db", "postgresql:///db?host=/nonexistent"])
def test_a_server_that_is_away_is_transient(url: str) -> None:
    with pytest.raises(TransientError, match="is away"):
        connect(url)


def test_a_url_that_is_none_is_a_set_up_fault_and_shows_no_password() -> None:
    with pytest.raises(SetupError, match="not a Postgres URL") as caught:
        connect("mysql://root:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_a_database_that_does_not_exist_is_a_set_up_fault(postgres_url: str) -> None:
    with pytest.raises(SetupError, match="does not exist"):
        connect(with_database(postgres_url, "no_such_database"))


def test_a_session_ended_by_the_server_is_transient(database: str) -> None:
    with connect(database) as conn, connect(database) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
        admin.commit()
        with pytest.raises(TransientError):
            record_verdicts(conn, [a_verdict()])
        with pytest.raises(TransientError):
            record_verdicts(conn, [a_verdict()])


def test_a_database_without_migrations_is_a_set_up_fault(postgres_url: str) -> None:
    with fresh_database(postgres_url) as url, connect(url) as conn, pytest.raises(SetupError, match="sightline"):
        record_verdicts(conn, [a_verdict()])


def test_a_fault_of_ours_is_not_called_transient(database: str) -> None:
    with connect(database) as conn:
        with pytest.raises(psycopg.errors.NotNullViolation), database_edge():
            conn.execute("INSERT INTO sightline.station (station) VALUES ('x')")
        conn.rollback()
        with pytest.raises(psycopg.errors.SyntaxError), database_edge():
            conn.execute("SELEC 1")
        conn.rollback()
        with pytest.raises(psycopg.errors.CheckViolation), database_edge():
            conn.execute("INSERT INTO sightline.station VALUES ('a/b/c', 'a', 'b', 'odd')")


def test_a_row_that_a_partition_attached_just_now_should_have_got_is_tried_again(database: str) -> None:
    with connect(database) as conn:
        record_verdicts(conn, [a_verdict()])
        with pytest.raises(TransientError), database_edge():
            conn.execute("INSERT INTO sightline.verdict_default SELECT * FROM sightline.verdict")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AdminShutdown", True),
        ("CannotConnectNow", True),
        ("DeadlockDetected", True),
        ("SerializationFailure", True),
        ("DiskFull", True),
        ("TooManyConnections", True),
        ("ReadOnlySqlTransaction", True),
        ("LockNotAvailable", True),
        ("QueryCanceled", True),
        ("ProgramLimitExceeded", False),
        ("UniqueViolation", False),
        ("UndefinedTable", False),
        ("InvalidPassword", False),
    ],
)
def test_what_may_succeed_later_is_told_from_what_never_will(name: str, expected: bool) -> None:
    error = getattr(psycopg.errors, name)()
    assert is_transient(error) is expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql:///d?host=/s&password=p&user=u", "postgresql:///d?host=/s&password=***&user=u"),
        ("postgresql://[", "(a malformed URL)"),
    ],
)
def test_a_printed_url_has_no_password(url: str, shown: str) -> None:
    assert redact(url) == shown

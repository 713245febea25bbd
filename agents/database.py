"""The database edge: one way to connect, and the one place where Postgres' errors become ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg

from schemas.errors import SetupError, TransientError

Connection = psycopg.Connection[tuple[Any, ...]]

_TRANSIENT_CLASSES = ("08", "40", "53", "57", "58")
"""SQLSTATE classes: connection, rollback (deadlock, serialization), resources, operator, system."""
_TRANSIENT_STATES = ("25006", "55006", "55P03")
"""read-only (a failover in progress), object in use, lock not available."""
_CHECK_VIOLATION = "23514"
_NOT_MIGRATED = ("3F000", "42P01", "42703", "42883")
_SET_UP_WORDS = re.compile(
    r"password authentication failed|no password supplied|no pg_hba.conf entry|(role|database) \".*\" does not exist"
    r"|is not permitted to log in|certificate|SSL"
)


def connect(url: str, *, application: str = "sightline", timeout_s: int = 5) -> Connection:
    """A connection to `url` (``postgresql://...``) with times in UTC; the caller owns its transactions.

    Raises: SetupError when the URL, the account or the database is wrong; TransientError when the server is away.
    """
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        conn = psycopg.connect(plain, connect_timeout=timeout_s, application_name=application)
        with database_edge():
            conn.execute("SET timezone TO 'UTC'")
            conn.commit()
    except psycopg.ProgrammingError as exc:
        raise SetupError(
            f"postgres_url {redact(url)!r} is not a Postgres URL; write postgresql://user:password@host:5432/database"
        ) from exc
    except psycopg.OperationalError as exc:
        if _SET_UP_WORDS.search(str(exc)):
            raise SetupError(
                f"Postgres at {redact(url)} refused: {_first_line(exc)}; "
                "correct the account or the database in postgres_url"
            ) from exc
        raise TransientError(f"Postgres at {redact(url)} is away: {_first_line(exc)}") from exc
    return conn


@contextmanager
def database_edge() -> Iterator[None]:
    """Errors of psycopg inside become ours: retriable ones TransientError, a wrong installation SetupError.

    Anything else (a bad statement, a violated constraint) is a fault of the program and passes unchanged.
    """
    try:
        yield
    except psycopg.Error as exc:
        if is_transient(exc):
            raise TransientError(
                f"Postgres refused for now ({exc.sqlstate or 'no answer'}): {_first_line(exc)}"
            ) from exc
        if exc.sqlstate in _NOT_MIGRATED:
            raise SetupError(
                f"the database lacks what this version needs ({_first_line(exc)}): run `sightline migrate`"
            ) from exc
        if exc.sqlstate == "42501":
            raise SetupError(
                f"{_first_line(exc)}: connect as a member of role sightline_writer (GRANT sightline_writer TO <user>)"
            ) from exc
        raise


def is_transient(error: psycopg.Error) -> bool:
    """Whether the same transaction may succeed later: the server is away, busy, full, failing over or deadlocked."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    if state == _CHECK_VIOLATION:
        return error.diag.constraint_name is None  # a partition was attached in between; a named check is ours
    return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES


def redact(url: str) -> str:
    """`url` without its password, fit to be printed."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return "(a malformed URL)"
    shown = url.replace(f":{password}@", ":***@", 1) if password else url
    return re.sub(r"(password=)[^&\s]*", r"\1***", shown)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).strip().splitlines()[:1]) or type(error).__name__

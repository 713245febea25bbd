"""Migrations: what the database is at, what this version needs, and the way there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from agents.database import connect, database_edge, redact
from agents.records.partitions import MONTHS_AHEAD
from schemas.errors import SetupError
from schemas.tables import READER_ROLE, SCHEMA, WRITER_ROLE

_LOCK = 0x51647466  # any number, the same for every migrator of one database
_CREATE_ROLES = f"CREATE ROLE {WRITER_ROLE} LOGIN; CREATE ROLE {READER_ROLE} LOGIN; GRANT {WRITER_ROLE} TO {{user}};"


def head() -> str:
    """The revision this version of Sightline needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise SetupError("deploy/migrations holds no revision: the installation is incomplete; install it again")
    return revision


def current(url: str) -> str | None:
    """The revision the database at `url` is at; None when it was never migrated.

    Raises: SetupError, TransientError.
    """
    with _edge(), _engine(url).connect() as connection:
        return _current(connection)


def upgrade(url: str) -> str:
    """Bring the database at `url` to `head()`, in one transaction; two at once wait for one another.

    Also makes the coming months' partitions. Returns: the revision reached.
    Raises: SetupError when the account may not, or when the database is newer than this version; TransientError.
    """
    with _edge(), _engine(url).begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = _current(connection)
        if before != head():
            _check_rights(connection, url)
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            config = _config()
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as exc:
                raise SetupError(
                    f"the database at {redact(url)} is at revision {before}, which this version does not know: "
                    f"it was migrated by a newer Sightline; install that version"
                ) from exc
        last_month = datetime.now(UTC) - timedelta(days=31)
        connection.execute(
            text(f"SELECT {SCHEMA}.ensure_partitions(:first, :n)"), {"first": last_month, "n": MONTHS_AHEAD + 2}
        )
    return head()


@contextmanager
def _edge() -> Iterator[None]:
    """SQLAlchemy's wrapping of a driver's error comes off, then `database_edge` judges it."""
    with database_edge():
        try:
            yield
        except DBAPIError as exc:
            if isinstance(exc.orig, psycopg.Error):
                raise exc.orig from exc
            raise


def _engine(url: str) -> Engine:
    return create_engine("postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _current(connection: SqlConnection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA}).get_current_revision()


def _check_rights(connection: SqlConnection, url: str) -> None:
    """Raises: SetupError with the statements a superuser has to run first."""
    user, database, may_make_roles, may_make_schema, n_roles = connection.execute(
        text(
            "SELECT current_user, current_database(),"
            " (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user),"
            " to_regnamespace(:schema) IS NOT NULL OR has_database_privilege(current_database(), 'CREATE'),"
            " (SELECT count(*) FROM pg_roles WHERE rolname IN (:writer, :reader))"
        ),
        {"schema": SCHEMA, "writer": WRITER_ROLE, "reader": READER_ROLE},
    ).one()
    missing: list[str] = []
    if n_roles < 2 and not may_make_roles:
        missing.append(_CREATE_ROLES.format(user=f'"{user}"'))
    if not may_make_schema:
        missing.append(f'GRANT CREATE ON DATABASE "{database}" TO "{user}";')
    if missing:
        raise SetupError(
            f"user {user!r} may not set up the database at {redact(url)}; run once as a superuser, then try again:\n"
            + "\n".join(f"  {statement}" for statement in missing)
        )

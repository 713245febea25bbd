"""A script of SQL statements, run as psql would: no parameters, nothing to escape."""

from __future__ import annotations

from importlib import resources
from typing import cast

from alembic import op

from agents.database import Connection


def run_script(name: str) -> None:
    """Run deploy/migrations/sql/`name` in the revision's transaction."""
    statements = (resources.files("deploy.migrations") / "sql" / name).read_text(encoding="utf-8")
    driver = cast(Connection, op.get_bind().connection.driver_connection)
    driver.execute(statements.encode())

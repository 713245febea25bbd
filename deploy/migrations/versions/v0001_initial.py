"""The first shape of schema sightline: tables, partitions by month, views, roles."""

from __future__ import annotations

from deploy.migrations.script import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything in the (empty) schema."""
    for part in ("tables", "partitions", "views", "roles"):
        run_script(f"v0001_{part}.sql")


def downgrade() -> None:
    """Drop everything but the schema, which holds Alembic's own table."""
    run_script("v0001_drop.sql")

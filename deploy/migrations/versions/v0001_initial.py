"""The first shape of schema sightline: tables, partitions by month, views, roles."""

from __future__ import annotations

from deploy.migrations.script import run_script
from schemas.errors import SetupError

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything in the (empty) schema."""
    for part in ("tables", "partitions", "views", "roles"):
        run_script(f"v0001_{part}.sql")


def downgrade() -> None:
    """There is nothing before the first revision. Raises: SetupError."""
    raise SetupError("nothing precedes revision 0001; to remove everything: DROP SCHEMA sightline CASCADE")

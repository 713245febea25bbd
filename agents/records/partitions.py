"""Months of `verdict`, made before they are needed."""

from __future__ import annotations

from datetime import datetime

from agents.database import Connection, database_edge

MONTHS_AHEAD = 12


def ensure_partitions(conn: Connection, now: datetime, months_ahead: int = MONTHS_AHEAD) -> int:
    """Make the partitions of this month and the `months_ahead` after it; returns how many are new.

    Call it at start and daily, in a transaction of its own. A verdict outside every month is stored all the same,
    in `verdict_default`, and moves when its month is made. The caller owns the transaction. Raises: TransientError.
    """
    with database_edge():
        row = conn.execute("SELECT sightline.ensure_partitions(%s, %s)", [now, months_ahead + 1]).fetchone()
    return int(row[0]) if row else 0

"""The outbox: records committed with the change they tell of, published by the relay, each at least once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.database import Connection, database_edge


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to publish; `message_id` is its identity, `topic` the name without prefix (`alerts`)."""

    message_id: str
    topic: str
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Claimed:
    """A record this transaction alone may publish now."""

    outbox_id: int
    topic: str
    key: bytes
    value: bytes


def enqueue(conn: Connection, records: Sequence[Outgoing]) -> None:
    """Put `records` in the outbox, in order; a message_id already there changes nothing."""
    with database_edge(), conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO sightline.outbox (message_id, topic, key, value) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (message_id) DO NOTHING",
            [(record.message_id, record.topic, record.key, record.value) for record in records],
        )


def claim_outbox(conn: Connection, n: int) -> list[Claimed]:
    """Up to `n` unpublished records, oldest first, locked until the transaction ends.

    Those another relay holds are skipped. Publish them, await the broker's acknowledgement, then `mark_outbox` and
    commit. Raises: TransientError.
    """
    with database_edge():
        rows = conn.execute(
            "SELECT outbox_id, topic, key, value FROM sightline.outbox WHERE sent_at IS NULL"
            " ORDER BY outbox_id LIMIT %s FOR UPDATE SKIP LOCKED",
            [n],
        ).fetchall()
    return [Claimed(*row) for row in rows]


def mark_outbox(conn: Connection, outbox_ids: Sequence[int]) -> None:
    """Mark records as published. Raises: TransientError."""
    with database_edge():
        conn.execute("UPDATE sightline.outbox SET sent_at = now() WHERE outbox_id = ANY(%s)", [list(outbox_ids)])


def prune_outbox(conn: Connection, keep_days: float = 7.0) -> int:
    """Forget records published more than `keep_days` ago; returns how many. Raises: TransientError."""
    with database_edge():
        return conn.execute(
            "DELETE FROM sightline.outbox WHERE sent_at < now() - make_interval(secs => %s)", [keep_days * 86400]
        ).rowcount

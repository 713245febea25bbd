"""The root-cause agent's memory of a station and product: state, window and alerts in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.database import Connection, database_edge
from agents.records.alerts import publishable, record_alerts
from agents.records.outbox import enqueue
from schemas.alert import Alert
from schemas.errors import StaleWrite


@dataclass(frozen=True, slots=True, eq=False)
class StoredRootCause:
    """What was saved: `state` bytes, `slots` by number, and the `version` to give back with the next save."""

    version: int
    state: bytes
    slots: Mapping[int, bytes]
    last_epoch: str | None
    last_sequence: int | None


def save_root_cause(
    conn: Connection,
    station: str,
    product: str,
    *,
    state_bytes: bytes,
    slots: Mapping[int, bytes | None],
    alerts: Sequence[Alert],
    last_epoch: str | None,
    last_sequence: int | None,
    version: int,
) -> int:
    """Save the state, the changed slots, the alerts and their outbox rows; nothing of it without the rest.

    Args:
        slots: only those that changed since the last save; None removes a slot.
        version: what `load_root_cause` or the last save returned; 0 when nothing was stored yet.
    Returns: the version to give with the next save.
    The caller owns the transaction.
    Raises: StaleWrite when another worker saved since `version`: roll back, load again; TransientError.
    """
    with database_edge():
        saved = conn.execute(
            "INSERT INTO sightline.window_state AS held (station, product, version, state, last_epoch, last_sequence)"
            " SELECT %(station)s, %(product)s, 1, %(state)s, %(epoch)s, %(sequence)s"
            " WHERE %(version)s = 0 OR EXISTS (SELECT FROM sightline.window_state"
            "   WHERE station = %(station)s AND product = %(product)s)"
            " ON CONFLICT (station, product) DO UPDATE SET version = held.version + 1, state = excluded.state,"
            "   last_epoch = excluded.last_epoch, last_sequence = excluded.last_sequence, saved_at = now()"
            " WHERE held.version = %(version)s RETURNING version",
            {
                "station": station,
                "product": product,
                "state": state_bytes,
                "epoch": last_epoch,
                "sequence": last_sequence,
                "version": version,
            },
        ).fetchone()
        if saved is None:
            raise StaleWrite(
                f"the root-cause state of {station} / {product} was saved by another worker since version {version}: "
                "load it again"
            )
        _save_slots(conn, station, product, slots)
    record_alerts(conn, alerts)
    enqueue(conn, [publishable(alert) for alert in alerts])
    return int(saved[0])


def load_root_cause(conn: Connection, station: str, product: str) -> StoredRootCause | None:
    """What was last saved for a station and product, or None. Raises: TransientError."""
    with database_edge():
        row = conn.execute(
            "SELECT version, state, last_epoch, last_sequence FROM sightline.window_state"
            " WHERE station = %s AND product = %s FOR SHARE",
            [station, product],
        ).fetchone()
        if row is None:
            return None
        slots = conn.execute(
            "SELECT slot, frame FROM sightline.window_slot WHERE station = %s AND product = %s ORDER BY slot",
            [station, product],
        ).fetchall()
    version, state, last_epoch, last_sequence = row
    return StoredRootCause(version, state, dict(slots), last_epoch, last_sequence)


def _save_slots(conn: Connection, station: str, product: str, slots: Mapping[int, bytes | None]) -> None:
    kept = [(station, product, slot, frame) for slot, frame in sorted(slots.items()) if frame is not None]
    gone = [slot for slot, frame in slots.items() if frame is None]
    with conn.cursor() as cursor:
        if kept:
            cursor.executemany(
                "INSERT INTO sightline.window_slot (station, product, slot, frame) VALUES (%s, %s, %s, %b)"
                " ON CONFLICT (station, product, slot) DO UPDATE SET frame = excluded.frame",
                kept,
            )
        if gone:
            cursor.execute(
                "DELETE FROM sightline.window_slot WHERE station = %s AND product = %s AND slot = ANY(%s)",
                [station, product, gone],
            )

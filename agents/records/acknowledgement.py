"""A person takes an alert in hand: its state, the event and the record to publish, in one transaction."""

from __future__ import annotations

from datetime import datetime

from psycopg.rows import dict_row

from agents.database import Connection, database_edge
from agents.records.alerts import publishable, record_alerts
from agents.records.outbox import enqueue
from schemas.alert import Alert, AlertState
from schemas.errors import InputError

_LONE_PREFIX = 6


def acknowledge_alert(conn: Connection, alert_id: str, *, who: str, note: str, at: datetime) -> Alert:
    """Acknowledge an open alert; the relay publishes it.

    Args: alert_id: the whole id, or its first characters when no other alert begins with them.
    Returns: the alert as it stands now. One that is acknowledged already stays as it is.
    The caller owns the transaction. Raises: InputError when there is no such open alert; TransientError.
    """
    alert = load_alert(conn, alert_id)
    if alert.state is AlertState.CLEARED:
        raise InputError(f"alert {alert.alert_id} has cleared by itself: there is nothing left to acknowledge")
    if alert.state is AlertState.ACKNOWLEDGED:
        return alert
    acknowledged = alert.model_copy(update={"state": AlertState.ACKNOWLEDGED, "at": at})
    record_alerts(conn, [acknowledged], who=who, note=note)
    enqueue(conn, [publishable(acknowledged)])
    return acknowledged


def load_alert(conn: Connection, alert_id: str) -> Alert:
    """The alert as it stands, locked until the transaction ends. Raises: InputError, TransientError."""
    pattern = alert_id.replace("\\", "").replace("%", "").replace("_", "") + "%"
    with database_edge(), conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            "SELECT * FROM sightline.alert WHERE alert_id LIKE %s ORDER BY alert_id LIMIT 2 FOR UPDATE", [pattern]
        ).fetchall()
    if not found or len(alert_id) < _LONE_PREFIX:
        raise InputError(f"there is no alert {alert_id!r}: `sightline alerts list` shows them")
    if len(found) > 1:
        raise InputError(f"several alerts begin with {alert_id!r}: give more of the id")
    (row,) = found
    region = tuple(row[f"region_{side}_px"] for side in "xywh")
    return Alert.model_validate({**row, "region_px": region})

"""Alerts into `alert` and `alert_event`: a state is entered once and never left backwards."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from agents.database import Connection, database_edge
from agents.records.outbox import Outgoing
from agents.records.upsert import Row, Upsert, storable
from schemas.alert import Alert, AlertState, encode_alert

_RANK = {state: rank for rank, state in enumerate(AlertState)}

_IDENTITY = ("alert_id", "rule", "station", "product", "epoch", "first_sequence")
_CURRENT = (
    "state",
    "rank",
    "cause",
    "region_x_px",
    "region_y_px",
    "region_w_px",
    "region_h_px",
    "last_sequence",
    "n_frames",
    "hit_rate",
    "period",
    "statistic",
    "threshold",
    "arl0_frames",
    "frames",
    "gradient_map",
    "text",
    "at",
)
_ALERTS = Upsert(
    "alert",
    _IDENTITY + _CURRENT,
    f"(alert_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _CURRENT)}"
    " WHERE excluded.rank > held.rank",
    key=("alert_id", "rank"),
)
_EVENTS = Upsert(
    "alert_event",
    ("alert_id", "state", "at", "last_sequence", "n_frames", "statistic", "gradient_map", "text", "who", "note"),
    "DO NOTHING",
    key=("alert_id", "at"),
)


def record_alerts(
    conn: Connection, alerts: Sequence[Alert], *, who: str | None = None, note: str | None = None
) -> None:
    """Write changes of state; one already recorded, or behind the state the alert has reached, changes nothing.

    Args: who, note: the person who caused the change and what they said, when a person did.
    The caller owns the transaction. Raises: TransientError.
    """
    newest: dict[str, Alert] = {}
    for alert in alerts:
        held = newest.get(alert.alert_id)
        if held is None or _RANK[alert.state] > _RANK[held.state]:
            newest[alert.alert_id] = alert
    with database_edge():
        _ALERTS.run(conn, [_alert_row(alert) for alert in newest.values()])
        _EVENTS.run(conn, [_event_row(alert, who, note) for alert in alerts])


def publishable(alert: Alert) -> Outgoing:
    """The change of state as a record for the outbox; the same change has the same identity."""
    return Outgoing(f"{alert.alert_id}:{alert.state.value}", "alerts", alert.station.encode(), encode_alert(alert))


def _alert_row(alert: Alert) -> Row:
    return (
        alert.alert_id,
        storable(alert.rule),
        storable(alert.station),
        storable(alert.product),
        storable(alert.epoch),
        alert.first_sequence,
        alert.state.value,
        _RANK[alert.state],
        alert.cause.value,
        *alert.region_px,
        alert.last_sequence,
        alert.n_frames,
        alert.hit_rate,
        alert.period,
        alert.statistic,
        alert.threshold,
        alert.arl0_frames,
        Jsonb([storable(frame) for frame in alert.frames]),
        storable(alert.gradient_map),
        storable(alert.text),
        alert.at,
    )


def _event_row(alert: Alert, who: str | None, note: str | None) -> Row:
    return (
        alert.alert_id,
        alert.state.value,
        alert.at,
        alert.last_sequence,
        alert.n_frames,
        alert.statistic,
        storable(alert.gradient_map),
        storable(alert.text),
        who,
        note,
    )

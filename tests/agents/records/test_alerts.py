from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from agents.database import Connection
from agents.records import record_alerts
from schemas.alert import AlertState
from tests.verdicts import NOON, an_alert

LIFE = list(AlertState)


def life() -> list:  # type: ignore[type-arg]
    return [
        an_alert(state, at=NOON + timedelta(minutes=index), last_sequence=110 + index)
        for index, state in enumerate(LIFE)
    ]


def state_of(conn: Connection) -> tuple[object, ...]:
    row = conn.execute("SELECT state, last_sequence, at FROM sightline.alert").fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_whatever_the_order_of_arrival_the_furthest_state_stands(conn: Connection, order: tuple[int, ...]) -> None:
    events = life()
    for index in order:
        record_alerts(conn, [events[index]])
    assert state_of(conn) == ("cleared", 113, NOON + timedelta(minutes=3))
    assert conn.execute("SELECT count(*) FROM sightline.alert_event").fetchone() == (4,)


def test_a_batch_with_a_whole_life_ends_cleared(conn: Connection) -> None:
    record_alerts(conn, life()[::-1])
    assert state_of(conn)[0] == "cleared"


def test_the_same_change_of_state_twice_is_one_event(conn: Connection) -> None:
    confirmed = life()[1]
    record_alerts(conn, [confirmed, confirmed])
    record_alerts(conn, [confirmed.model_copy(update={"text": "other words"})])
    assert conn.execute("SELECT state, text FROM sightline.alert_event").fetchall() == [("confirmed", confirmed.text)]
    assert conn.execute("SELECT text FROM sightline.alert").fetchall() == [(confirmed.text,)]


def test_who_acknowledged_and_why_is_kept(conn: Connection) -> None:
    record_alerts(conn, [life()[1]])
    record_alerts(conn, [life()[2]], who="Mia", note="fixture changed")
    query = "SELECT who, note FROM sightline.alert_event WHERE state = 'acknowledged'"
    assert conn.execute(query).fetchall() == [("Mia", "fixture changed")]

from __future__ import annotations

import pytest

from agents.database import Connection, connect
from agents.records import StoredRootCause, claim_outbox, load_root_cause, mark_outbox, prune_outbox, save_root_cause
from schemas.alert import Alert, AlertState, decode_alert
from schemas.errors import StaleWrite
from tests.verdicts import STATION, an_alert


def save(conn: Connection, version: int, state: bytes = b"state", sequence: int | None = 1, **more: object) -> int:
    slots: dict[int, bytes | None] = more.get("slots", {})  # type: ignore[assignment]
    alerts: list[Alert] = more.get("alerts", [])  # type: ignore[assignment]
    return save_root_cause(
        conn,
        STATION,
        "plate",
        state_bytes=state,
        slots=slots,
        alerts=alerts,
        last_epoch="boot-1",
        last_sequence=sequence,
        version=version,
    )


def load(conn: Connection) -> StoredRootCause:
    stored = load_root_cause(conn, STATION, "plate")
    assert stored is not None
    return stored


def test_what_was_saved_is_loaded(conn: Connection) -> None:
    assert load_root_cause(conn, STATION, "plate") is None
    frame = bytes(range(256)) * 300
    version = save(conn, 0, slots={0: frame, 7: b"seven"})
    stored = load(conn)
    assert (stored.version, stored.state, stored.last_epoch, stored.last_sequence) == (version, b"state", "boot-1", 1)
    assert stored.slots == {0: frame, 7: b"seven"}


def test_a_save_rewrites_only_the_slots_it_names(conn: Connection) -> None:
    version = save(conn, 0, slots={0: b"a", 1: b"b", 2: b"c"})
    save(conn, version, slots={1: b"B", 2: None})
    assert load(conn).slots == {0: b"a", 1: b"B"}


@pytest.mark.parametrize("version", [0, 1, 5])
def test_a_save_by_a_worker_that_was_overtaken_is_refused(conn: Connection, version: int) -> None:
    save(conn, save(conn, 0, b"first"), b"second")
    with pytest.raises(StaleWrite, match="saved by another worker"):
        save(conn, version, b"late", slots={0: b"late"})
    assert (load(conn).state, load(conn).slots) == (b"second", {})


def test_a_first_save_cannot_pretend_there_was_one_before(conn: Connection) -> None:
    with pytest.raises(StaleWrite):
        save(conn, 3)


def test_state_alerts_and_outbox_come_and_go_together(database: str) -> None:
    with connect(database) as conn:
        save(conn, 0, slots={0: b"x"}, alerts=[an_alert()])
        conn.rollback()
        assert load_root_cause(conn, STATION, "plate") is None
        assert claim_outbox(conn, 10) == []
        save(conn, 0, alerts=[an_alert(), an_alert(AlertState.CONFIRMED)])
        conn.commit()
    with connect(database) as relay, connect(database) as other:
        claimed = claim_outbox(relay, 1)
        assert decode_alert(claimed[0].value).state is AlertState.SUSPECTED
        assert (claimed[0].topic, claimed[0].key) == ("alerts", STATION.encode())
        assert [decode_alert(record.value).state for record in claim_outbox(other, 10)] == [AlertState.CONFIRMED]
        mark_outbox(relay, [claimed[0].outbox_id])
        relay.commit()
        other.rollback()
        assert [decode_alert(record.value).state for record in claim_outbox(relay, 10)] == [AlertState.CONFIRMED]
        relay.rollback()
        assert prune_outbox(relay, keep_days=1) == 0
        assert prune_outbox(relay, keep_days=0) == 1


def test_a_change_of_state_is_published_once_whoever_says_it_again(conn: Connection) -> None:
    version = save(conn, 0, alerts=[an_alert()])
    save(conn, version, alerts=[an_alert()])
    assert len(claim_outbox(conn, 10)) == 1

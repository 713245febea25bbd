from __future__ import annotations

import json

from agents.database import connect
from agents.records import claim_outbox
from schemas.alert import AlertState, decode_alert
from schemas.verdict import verdict_id
from tests.deploy.commands.conftest import Sightline
from tests.verdicts import SHA
from tests.worked_example import CAM0

FAILED = verdict_id(CAM0, "boot-1-2", SHA, 1)
PASSED = verdict_id(CAM0, "boot-1-1", SHA, 1)


def test_an_answer_counts_at_its_recipe_revision(sightline: Sightline, own_morning: str) -> None:
    ran = sightline(
        "review", FAILED, "false_call", "--why", "dust", "--who", "Ali", "--postgres", own_morning, "--json"
    )
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["frame_id"] == "boot-1-2"
    rows = sightline("history", "overkill", "--station", CAM0, "--json", "--postgres", own_morning).out.splitlines()
    first = next(row for row in map(json.loads, rows) if row["recipe_revision"] == 1)
    assert (first["n_false_call"], first["n_confirmed"], first["n_answered"]) == (2, 0, 3)


def test_an_answer_that_does_not_fit_is_refused(sightline: Sightline, morning: str) -> None:
    for verdict, answer, message in [
        (PASSED, "false_call", "is pass"),
        (FAILED, "escape", "is fail"),
        ("no-such-verdict", "confirmed", "no verdict"),
        (FAILED, "maybe", "no answer"),
    ]:
        ran = sightline("review", verdict, answer, "--why", "x", "--postgres", morning)
        assert ran.code == 1
        assert message in ran.err


def test_open_alerts_are_listed_and_cleared_ones_on_demand(sightline: Sightline, morning: str) -> None:
    def listed(*more: str) -> list[str]:
        out = sightline("alerts", "list", "--json", "--postgres", morning, *more).out
        return [json.loads(line)["state"] for line in out.splitlines()]

    assert listed() == ["acknowledged"]
    assert listed("--all") == ["acknowledged", "cleared"]
    assert listed("--station", "x/y/z") == []
    assert "scratched" in sightline("alerts", "list", "--postgres", morning).out


def test_acknowledging_tells_the_topic_once_and_a_cleared_one_cannot_be(sightline: Sightline, own_morning: str) -> None:
    with connect(own_morning) as conn:
        found = conn.execute("SELECT alert_id, state FROM sightline.alert ORDER BY state").fetchall()
        conn.execute("UPDATE sightline.alert SET state = 'confirmed', rank = 1 WHERE state = 'acknowledged'")
        conn.execute("DELETE FROM sightline.alert_event WHERE state = 'acknowledged'")
        conn.execute("DELETE FROM sightline.outbox")
    (open_id, _), (cleared_id, _) = found
    for _ in range(2):
        ran = sightline("alerts", "ack", open_id[:8], "--who", "Ali", "--json", "--postgres", own_morning)
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["state"] == "acknowledged"
    with connect(own_morning) as conn:
        published = [decode_alert(record.value) for record in claim_outbox(conn, 10)]
        assert [(alert.alert_id, alert.state) for alert in published] == [(open_id, AlertState.ACKNOWLEDGED)]
        assert conn.execute("SELECT who FROM sightline.alert_event WHERE state = 'acknowledged'").fetchall() == [
            ("Ali",)
        ]
    assert "has cleared" in sightline("alerts", "ack", cleared_id, "--postgres", own_morning).err
    for wrong in ("zzzzzzzz", "%%%%%%%%", open_id[:3]):
        assert sightline("alerts", "ack", wrong, "--postgres", own_morning).code == 1

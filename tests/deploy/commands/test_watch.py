from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from schemas.alert import encode_alert
from schemas.verdict import encode_verdict
from tests.deploy.commands.conftest import Sightline
from tests.verdicts import STATION, a_failed_verdict, a_verdict, an_alert, an_uninspected_verdict


@pytest.fixture
def topics(kafka_url: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Two topics with some records on them, one delivered twice and one that is none."""
    monkeypatch.setenv("SIGHTLINE_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("SIGHTLINE_KAFKA_URL", kafka_url)
    names = [f"{topic_prefix}verdicts", f"{topic_prefix}alerts"]
    admin = KafkaAdminClient(bootstrap_servers=kafka_url)
    admin.create_topics([NewTopic(name, 1, 1) for name in names])
    producer = KafkaProducer(bootstrap_servers=kafka_url)
    verdicts = [
        a_verdict("f1"),
        a_failed_verdict("f2", unit_id="[SN2]", late=True),
        a_failed_verdict("f2"),
        a_verdict("f1"),
    ]
    verdicts.append(an_uninspected_verdict("f3", station="x/y/z"))
    for verdict in verdicts:
        producer.send(names[0], key=STATION.encode(), value=encode_verdict(verdict))
    producer.send(names[0], value=b"no verdict")
    producer.send(names[1], value=encode_alert(an_alert()))
    producer.flush()
    producer.close()
    yield topic_prefix
    admin.delete_topics(names)
    admin.close()


def test_verdicts_and_alerts_are_shown_each_once(sightline: Sightline, topics: str) -> None:
    ran = sightline("watch", "--since", "1h", "--count", "4", "--seconds", "20")
    assert ran.code == 0, ran.err
    lines = [line for line in ran.out.splitlines() if "is not one" not in line]
    assert len(lines) == 4
    assert any("fail" in line and "[SN2]" in line and "1 defect" in line and "late" in line for line in lines)
    assert any("uninspected" in line and "no_recipe" in line and "x/y/z" in line for line in lines)
    assert any("ALERT suspected (fixture)" in line for line in lines)


def test_filters_and_json(sightline: Sightline, topics: str) -> None:
    ran = sightline("watch", "--since", "1h", "--outcome", "fail", "--station", STATION, "--count", "2", "--json")
    found = [json.loads(line) for line in ran.out.splitlines() if line.startswith("{")]
    assert {record["schema"] for record in found} == {"sightline.verdict.v1", "sightline.alert.v1"}
    ran = sightline("watch", "--since", "1h", "--alerts", "--count", "1", "--json")
    assert json.loads(ran.out)["state"] == "suspected"


def test_without_since_only_what_comes_next_is_shown(sightline: Sightline, topics: str) -> None:
    ran = sightline("watch", "--seconds", "0.5")
    assert (ran.code, ran.out) == (0, "")


def test_a_wrong_outcome_or_a_missing_topic_is_said(sightline: Sightline, kafka_url: str) -> None:
    assert sightline("watch", "--outcome", "bad", "--kafka", kafka_url).code == 1
    ran = sightline("watch", "--kafka", kafka_url)
    assert ran.code == 2
    assert "topic_prefix" in ran.err

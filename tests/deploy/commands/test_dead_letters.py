from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from agents.database import connect
from agents.records import record_dead_letters
from schemas.deadletter import DeadLetter
from schemas.frame import Origin
from tests.deploy.commands.conftest import Sightline
from tests.verdicts import a_dead_letter


@pytest.fixture
def topic(kafka_url: str, topic_prefix: str) -> Iterator[str]:
    """A frames topic with 4 partitions."""
    name = f"{topic_prefix}frames"
    admin = KafkaAdminClient(bootstrap_servers=kafka_url)
    admin.create_topics([NewTopic(name, 4, 1)])
    yield name
    admin.delete_topics([name])
    admin.close()


def letter(topic: str, offset: int, **more: object) -> DeadLetter:
    return a_dead_letter(offset, **{"origin": Origin(topic, 2, offset, 1_760_000_000_000), **more})


def records(kafka_url: str, topic: str) -> list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    """Everything on the topic, by offset."""
    consumer = KafkaConsumer(bootstrap_servers=kafka_url, group_id=None, auto_offset_reset="earliest")
    partitions = [TopicPartition(topic, number) for number in range(4)]
    consumer.assign(partitions)
    n_there = sum(consumer.end_offsets(partitions).values())
    found = []
    while len(found) < n_there:
        for batch in consumer.poll(1000).values():
            found += [(record.key, record.value, list(record.headers)) for record in batch]
    consumer.close()
    return found


def test_a_refused_record_is_sent_again_as_it_was(
    sightline: Sightline, database: str, kafka_url: str, topic: str, tmp_path: Path
) -> None:
    evidence = tmp_path / hashlib.sha256(b"kept apart").hexdigest()
    evidence.write_bytes(b"kept apart")
    letters = [
        letter(topic, 1),
        letter(topic, 2, value=b"kept apart"),
        letter(topic, 3, key=None, value=None, headers=(), reason="oversized"),
    ]
    with connect(database) as conn:
        record_dead_letters(conn, letters, [None, f"file://{evidence}", None])
    where = ["--postgres", database, "--kafka", kafka_url]
    dry = sightline("dead-letters", "replay", "--all", "--dry-run", *where)
    assert dry.out.count("would be sent") == 3
    ran = sightline("dead-letters", "replay", f"{topic}/2/1", f"{topic}/2/2", "--json", *where)
    assert ran.code == 0, ran.err
    assert [json.loads(line)["result"] for line in ran.out.splitlines()] == ["sent", "sent"]
    assert sightline("dead-letters", "replay", "--all", *where).code == 0
    sent = records(kafka_url, topic)
    expected = [(one.key, one.value or b"", list(one.headers)) for one in letters]
    assert sorted(sent, key=repr) == sorted(expected, key=repr)
    listed = [json.loads(line) for line in sightline("dead-letters", "list", "--json", *where[:2]).out.splitlines()]
    assert [row["n_replays"] for row in listed] == [1, 1, 1]
    assert sightline("dead-letters", "list", "--waiting", *where[:2]).out == "no dead letters\n"


def test_what_cannot_be_sent_is_said_and_the_others_are_sent(
    sightline: Sightline, database: str, kafka_url: str, topic: str, tmp_path: Path
) -> None:
    altered = tmp_path / ("ab" * 32 + ".png")
    altered.write_bytes(b"other bytes")
    letters = [letter(topic, offset) for offset in (1, 2, 3)]
    with connect(database) as conn:
        record_dead_letters(conn, letters, [f"file://{tmp_path}/gone", f"file://{altered}", None])
    ran = sightline(
        "dead-letters", "replay", "--reason", "corrupt_picture", "--postgres", database, "--kafka", kafka_url
    )
    assert ran.code == 1
    assert "evidence_max_age_days" in ran.out
    assert "altered" in ran.out
    assert "1 sent again, 2 not" in ran.err
    assert len(records(kafka_url, topic)) == 1


def test_a_record_is_shown_and_its_bytes_saved(sightline: Sightline, morning: str, tmp_path: Path) -> None:
    name = "sightline.frames/2/17"
    ran = sightline("dead-letters", "show", name, "--save", str(tmp_path / "x.jpg"), "--postgres", morning)
    assert ran.code == 0, ran.err
    for part in ("corrupt_picture", "header ce_id", "frame-9", "(null)", "ff d8 ff", "docs/errors.md#corrupt_picture"):
        assert part in ran.out
    assert (tmp_path / "x.jpg").read_bytes() == a_dead_letter().value
    shown = json.loads(sightline("dead-letters", "show", name, "--json", "--postgres", morning).out)
    assert shown["headers"][0] == ["ce_id", "frame-9"]


def test_letters_are_listed_by_reason_station_and_time(sightline: Sightline, morning: str) -> None:
    def ids(*more: str) -> list[str]:
        out = sightline("dead-letters", "list", "--json", "--postgres", morning, *more).out
        return [json.loads(line)["id"].rsplit("/", 1)[1] for line in out.splitlines()]

    assert ids() == ["18", "17"]
    assert ids("--reason", "oversized") == ["18"]
    assert ids("--since", "2026-11-20T09:00:00Z") == ["18"]
    assert ids("--station", "x/y/z") == []
    assert ids("--limit", "1") == ["18"]
    assert "corrupt_picture" in sightline("dead-letters", "list", "--postgres", morning).out


def test_a_wrong_choice_ends_with_1(sightline: Sightline, morning: str) -> None:
    for arguments in (["replay"], ["replay", "a/0/1", "--all"], ["show", "a/0/1"], ["show", "nonsense"]):
        assert sightline("dead-letters", *arguments, "--postgres", morning).code == 1

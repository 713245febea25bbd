"""A client we did not write: confluent-kafka publishes by the contract, reads verdicts; SQL as `sightline_reader`."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from psycopg import sql

from pipeline.plate import SimulatedLine, encode_png
from tests.databases import with_user
from tests.line.conftest import PREFIX, assign
from tests.line.line_process import LineProcess

STATION = "foreign/line1/cam0"
SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas/json/verdict.json").read_text())
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PICTURE = encode_png(SimulatedLine(defect_rate=0.0).unit(3).picture)
Headers = list[tuple[str, str | bytes | None]]
IDS = ("plain", "keyless", "claimed", "parametrised")


def headers(frame_id: str, **more: str) -> Headers:
    """The headers of docs/cameras.md, written anew: no code of ours."""
    named = {
        "ce_specversion": "1.0",
        "ce_type": "sightline.frame.v1",
        "ce_id": frame_id,
        "ce_source": f"/{STATION}",
        "content-type": "image/png",
        "ce_product": "plate",
        **more,
    }
    return [(name, text.encode()) for name, text in named.items()]


def publish(line: LineProcess) -> None:
    """Four frames: plain, without a key, by claim check, with machine parameters."""
    sha256 = hashlib.sha256(PICTURE).hexdigest()
    claims = line.state_dir / "claims"
    claims.mkdir(exist_ok=True)
    (claims / f"{sha256}.png").write_bytes(PICTURE)
    claim = {"ce_dataref": f"file://{claims}/{sha256}.png", "ce_datasha256": sha256}
    parameters = {"ce_parameters": json.dumps({"force": {"value": 1.2, "unit": "N"}})}
    about = {"ce_subject": "SN-1", "ce_lot": "L7", "ce_traceparent": TRACE, "ce_time": "2030-05-06T07:08:09.5Z"}
    refused: list[object] = []
    producer = Producer({"bootstrap.servers": line.kafka, "acks": "all", "partitioner": "murmur2_random"})

    def send(key: str | None, value: bytes, pairs: Headers) -> None:
        def delivered(error: object, message: object) -> None:
            if error is not None:
                refused.append(error)

        producer.produce(f"{PREFIX}frames", key=key, value=value, headers=pairs, on_delivery=delivered)

    send(STATION, PICTURE, headers("plain", ce_epoch="boot8", ce_sequence="1", **about))
    send(None, PICTURE, headers("keyless"))
    send(STATION, b"", headers("claimed", **claim))
    send(STATION, PICTURE, headers("parametrised", **parameters))
    assert producer.flush(30) == 0
    assert refused == []


@pytest.fixture(scope="module")
def verdicts(line: LineProcess, plate_bundle: Path) -> dict[str, dict[str, Any]]:
    """What came back on the verdicts topic for what was published, by frame id."""
    assign(line, plate_bundle, [STATION])
    publish(line)
    consumer = Consumer(
        {"bootstrap.servers": line.kafka, "group.id": f"foreign-{uuid.uuid4()}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([f"{PREFIX}verdicts"])
    mine: dict[str, dict[str, Any]] = {}
    deadline_s = time.monotonic() + 90
    try:
        while len(mine) < len(IDS):
            assert time.monotonic() < deadline_s, f"only {sorted(mine)}:\n{line.logs()}"
            message = consumer.poll(0.5)
            if message is None or message.error() is not None or message.key() != STATION.encode():
                continue
            verdict = json.loads(message.value() or b"")
            mine[verdict["frame_id"]] = verdict
    finally:
        consumer.close()
    return mine


@pytest.mark.parametrize("frame_id", IDS)
def test_a_frame_of_a_foreign_client_gets_a_verdict_by_the_published_schema(
    verdicts: dict[str, dict[str, Any]], frame_id: str
) -> None:
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(verdicts[frame_id])
    assert verdicts[frame_id]["outcome"] == "pass"


def test_the_verdict_carries_what_the_headers_said(verdicts: dict[str, dict[str, Any]]) -> None:
    verdict = verdicts["plain"]
    told = {name: verdict[name] for name in ("station", "unit_id", "lot", "epoch", "sequence", "traceparent")}
    assert told == {
        "station": STATION,
        "unit_id": "SN-1",
        "lot": "L7",
        "epoch": "boot8",
        "sequence": 1,
        "traceparent": TRACE,
    }
    assert verdict["captured_at"] == "2030-05-06T07:08:09.500000Z"


def test_the_same_picture_gets_the_same_score_inline_and_by_claim_check(verdicts: dict[str, dict[str, Any]]) -> None:
    assert verdicts["claimed"]["score"] == pytest.approx(verdicts["plain"]["score"], abs=1e-6)


@pytest.fixture(scope="module")
def reader(line: LineProcess) -> Iterator[str]:
    """The line's database, as somebody who may only read it logs in."""
    name, password = f"analyst_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    with psycopg.connect(line.postgres, autocommit=True) as owner:
        create = "CREATE ROLE {} LOGIN PASSWORD {} IN ROLE sightline_reader"
        owner.execute(sql.SQL(create).format(sql.Identifier(name), sql.Literal(password)))
        yield with_user(line.postgres, name, password)
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_sightline_reader_finds_the_same_verdicts_in_sql_and_can_change_none(
    line: LineProcess, verdicts: dict[str, dict[str, Any]], reader: str
) -> None:
    count = f"SELECT count(*) FROM sightline.verdict WHERE station = '{STATION}'"
    assert line.wait_for_count(count, len(IDS)) == len(IDS)
    with psycopg.connect(reader) as connection:
        rows = connection.execute(
            "SELECT frame_id, verdict_id, outcome FROM sightline.verdict WHERE station = %s", [STATION]
        ).fetchall()
        assert sorted(rows) == sorted((v["frame_id"], v["verdict_id"], v["outcome"]) for v in verdicts.values())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM sightline.verdict")

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from pipeline.plate import SimulatedLine, encode_png
from schemas.store import read_reference
from tests.line.bad_frames import Sent, bad_frames, headers
from tests.line.conftest import PREFIX, PRODUCT, STATION
from tests.line.line_process import LineProcess

GOOD = encode_png(SimulatedLine(defect_rate=0.0).unit(0).picture)
BAD = bad_frames(GOOD, STATION, PRODUCT)
N_GOOD = len(BAD) + 1


@pytest.fixture(scope="module")
def sent(line: LineProcess) -> Iterator[LineProcess]:
    """Every bad frame once, each between two good ones, on one partition; everything decided and archived."""
    ends = "SELECT (SELECT count(*) FROM sightline.verdict) + (SELECT count(*) FROM sightline.dead_letter)"
    ((n_before,),) = line.query(ends)
    producer = KafkaProducer(bootstrap_servers=line.kafka, acks="all", max_request_size=10 * 2**20)

    def send(key: bytes, value: bytes, pairs: tuple[tuple[str, bytes], ...]) -> None:
        producer.send(f"{PREFIX}frames", key=key, value=value, headers=list(pairs), partition=0)

    for index, bad in enumerate(BAD):
        send(STATION.encode(), GOOD, headers(f"neighbour-{index}", STATION, ce_product=PRODUCT))
        pairs = dict(bad.headers)
        key = bad.key or pairs["ce_source"].decode().removeprefix("/").encode()
        send(key, bad.value, bad.headers)
    send(STATION.encode(), GOOD, headers(f"neighbour-{len(BAD)}", STATION, ce_product=PRODUCT))
    send(STATION.encode(), GOOD, headers("neighbour-0", STATION, ce_product=PRODUCT))  # the same ce_id again
    producer.flush()
    producer.close()
    n_sent = n_before + len(BAD) + N_GOOD
    assert line.wait_for_count(ends, n_sent) == n_sent
    line.wait_for_count("SELECT n_repeats FROM sightline.frame WHERE frame_id = 'neighbour-0'", 1)
    yield line


@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
def test_a_bad_frame_ends_exactly_as_documented(sent: LineProcess, bad: Sent) -> None:
    frame_id = f"bad-{bad.name}"
    verdicts = sent.query("SELECT outcome, reason FROM sightline.verdict WHERE frame_id = %s", frame_id)
    letters = sent.query(
        "SELECT reason FROM sightline.dead_letter WHERE headers @> %s::jsonb OR detail LIKE %s",
        json.dumps([{"name": "ce_id", "base64": base64.b64encode(frame_id.encode()).decode()}]),
        "header ce_id is required%" if bad.name == "no-id" else "-",
    )
    fates = [f"dead:{reason}" for (reason,) in letters]
    fates += [outcome if reason is None else f"{outcome}:{reason}" for outcome, reason in verdicts]
    assert fates == [bad.fate]


def test_the_neighbours_of_bad_frames_are_untouched(sent: LineProcess) -> None:
    outcomes = sent.query(
        "SELECT outcome, count(*) FROM sightline.verdict WHERE frame_id LIKE 'neighbour-%%' GROUP BY 1"
    )
    assert outcomes == [("pass", N_GOOD)]


def test_the_same_identity_sent_twice_is_one_row_and_counted(sent: LineProcess) -> None:
    rows = sent.query("SELECT n_repeats FROM sightline.frame WHERE frame_id = 'neighbour-0'")
    assert rows == [(1,)]


def test_a_dead_letter_keeps_the_original_bytes(sent: LineProcess) -> None:
    (row,) = sent.query(
        "SELECT evidence FROM sightline.dead_letter WHERE reason = 'content_type_mismatch' AND size_bytes = 18"
    )
    assert read_reference(row[0]) == b"this is no picture"


def test_a_verdict_of_1970_lies_at_its_own_time(sent: LineProcess) -> None:
    ((year,),) = sent.query(
        "SELECT extract(year FROM captured_at)::int FROM sightline.verdict WHERE frame_id = 'bad-clock-in-1970'"
    )
    assert year == 1970


def test_a_station_nobody_registered_gets_a_row(sent: LineProcess) -> None:
    assert sent.query("SELECT state FROM sightline.station WHERE station = 'x/y/z'") == [("unassigned",)]

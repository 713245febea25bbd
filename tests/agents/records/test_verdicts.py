from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.database import Connection, connect
from agents.records import Recorded, record_verdicts
from schemas.frame import MAX_HEADER_BYTES
from schemas.tables import VerdictKind
from schemas.verdict import Outcome, Verdict
from tests.verdicts import NOON, STATION, a_defect, a_failed_verdict, a_reading, a_verdict, an_uninspected_verdict


def rows(conn: Connection, query: str) -> list[tuple[Any, ...]]:
    return conn.execute(query.encode()).fetchall()


def counts(conn: Connection) -> tuple[int, ...]:
    """Rows of frame, verdict, defect, field_reading."""
    return rows(
        conn,
        "SELECT (SELECT count(*) FROM sightline.frame), (SELECT count(*) FROM sightline.verdict),"
        " (SELECT count(*) FROM sightline.defect), (SELECT count(*) FROM sightline.field_reading)",
    )[0]


def n_repeats(conn: Connection, frame_id: str = "frame-0") -> int:
    [(found,)] = rows(conn, f"SELECT n_repeats FROM sightline.frame WHERE frame_id = '{frame_id}'")
    return int(found)


def test_a_verdict_is_kept_with_its_defects_and_fields(conn: Connection) -> None:
    readings = (a_reading(), a_reading("lot", "A7", unit=None), a_reading("speed", None, confidence=0.0))
    verdict = a_failed_verdict("frame-0", a_defect(1), a_defect(2), fields=readings, unit_id="SN1", late=True)
    assert record_verdicts(conn, [verdict]) == Recorded(1, 0)
    assert counts(conn) == (1, 1, 2, 3)
    kept = rows(
        conn, "SELECT outcome, score, threshold_fail, n_defects, late, unit_id, sequence FROM sightline.verdict"
    )
    assert kept == [("fail", 0.9, 0.5, 2, True, "SN1", 1)]
    assert rows(conn, "SELECT x_px, template_x_px FROM sightline.defect ORDER BY ordinal") == [(2, 1), (4, 2)]
    assert rows(conn, "SELECT name, value_number, value_text FROM sightline.field_reading ORDER BY ordinal") == [
        ("force", 1.5, None),
        ("lot", None, "A7"),
        ("speed", None, None),
    ]


@pytest.mark.parametrize(
    "again",
    [
        a_verdict("frame-0"),
        a_verdict("frame-0", captured_at=NOON + timedelta(days=400)),
        a_failed_verdict("frame-0", revision=2, bundle="cd" * 32),
        a_verdict("frame-0", partition=5, offset=99, epoch="boot-2", sequence=50),
        an_uninspected_verdict("frame-0"),
    ],
    ids=["the same", "another time", "another recipe", "another partition", "uninspected"],
)
def test_a_second_decision_on_a_frame_is_counted_and_changes_nothing(conn: Connection, again: Verdict) -> None:
    record_verdicts(conn, [a_verdict("frame-0")])
    before = rows(conn, "SELECT v::text FROM sightline.verdict v")
    assert record_verdicts(conn, [again]) == Recorded(0, 1)
    assert rows(conn, "SELECT v::text FROM sightline.verdict v") == before
    assert counts(conn) == (1, 1, 0, 0)
    assert n_repeats(conn) == 1


@pytest.mark.parametrize("n_others", [0, 300])
def test_within_one_batch_the_first_decision_stands(conn: Connection, n_others: int) -> None:
    others = [a_verdict(f"other-{index}") for index in range(n_others)]
    batch = [a_verdict("frame-0"), *others, a_failed_verdict("frame-0", revision=2), a_verdict("frame-0")]
    assert record_verdicts(conn, batch) == Recorded(1 + n_others, 2)
    assert rows(conn, "SELECT outcome FROM sightline.verdict WHERE frame_id = 'frame-0'") == [("pass",)]
    assert n_repeats(conn) == 2
    assert counts(conn)[2] == 0


def test_the_same_id_at_another_station_is_another_frame(conn: Connection) -> None:
    record_verdicts(conn, [a_verdict("frame-0"), a_verdict("frame-0", station="lab/line1/cam1")])
    assert counts(conn)[:2] == (2, 2)


@pytest.mark.parametrize("n", [1, 100, 101, 1000])
def test_batches_of_any_size_write_the_same_rows(conn: Connection, n: int) -> None:
    batch = [a_failed_verdict(f"frame-{i}", sequence=i, fields=(a_reading(),)) for i in range(n)]
    assert record_verdicts(conn, batch) == Recorded(n, 0)
    assert record_verdicts(conn, list(reversed(batch))) == Recorded(0, n)
    assert counts(conn) == (n, n, n, n)
    assert rows(conn, "SELECT sum(sequence), sum(n_repeats) FROM sightline.frame") == [(n * (n - 1) / 2, n)]


@pytest.mark.parametrize("year", [1, 1970, 2100, 9999])
def test_a_clock_far_off_is_stored_as_it_is(conn: Connection, year: int) -> None:
    when = datetime(year, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    record_verdicts(conn, [a_verdict("frame-0", captured_at=when, decided_at=NOON)])
    assert rows(conn, "SELECT captured_at, relname FROM sightline.verdict v JOIN pg_class c ON c.oid = v.tableoid") == [
        (when, "verdict_default")
    ]


def test_an_unknown_station_gets_a_row_and_a_known_one_is_left_alone(conn: Connection) -> None:
    record_verdicts(conn, [an_uninspected_verdict("frame-0", station="new/line9/cam3")])
    assert rows(conn, "SELECT station, site, line, state, product FROM sightline.station") == [
        ("new/line9/cam3", "new", "line9", "unassigned", None)
    ]
    conn.execute("UPDATE sightline.station SET state = 'assigned'")
    record_verdicts(conn, [an_uninspected_verdict("frame-1", station="new/line9/cam3")])
    assert rows(conn, "SELECT state FROM sightline.station") == [("assigned",)]


def test_reinspections_stand_beside_the_live_decision_at_its_capture_time(conn: Connection) -> None:
    record_verdicts(conn, [a_verdict("frame-0")])
    again = a_failed_verdict("frame-0", revision=2, captured_at=NOON + timedelta(days=90))
    assert record_verdicts(conn, [again, again], VerdictKind.REINSPECTION) == Recorded(1, 1)
    assert record_verdicts(conn, [again], VerdictKind.REINSPECTION) == Recorded(0, 1)
    same_recipe = a_verdict("frame-0", outcome=Outcome.REVIEW)
    assert record_verdicts(conn, [same_recipe], VerdictKind.REINSPECTION) == Recorded(1, 0)
    assert rows(conn, "SELECT kind, outcome, captured_at FROM sightline.verdict ORDER BY kind, outcome") == [
        ("live", "pass", NOON),
        ("reinspection", "fail", NOON),
        ("reinspection", "review", NOON),
    ]
    assert rows(conn, "SELECT verdict_kind FROM sightline.defect") == [("reinspection",)]
    assert n_repeats(conn) == 0


def test_a_reinspection_that_arrives_first_is_kept_once(conn: Connection) -> None:
    again = a_verdict("frame-0", revision=2)
    record_verdicts(conn, [again], VerdictKind.REINSPECTION)
    record_verdicts(conn, [a_verdict("frame-0", captured_at=NOON + timedelta(days=60))])
    assert record_verdicts(conn, [again], VerdictKind.REINSPECTION) == Recorded(0, 1)
    assert counts(conn)[:2] == (1, 2)


def test_texts_postgres_cannot_hold_are_stored_readably(conn: Connection) -> None:
    record_verdicts(conn, [a_verdict("frame-0", lot="a\x00b", unit_id="Teil-Ä")])
    assert rows(conn, "SELECT lot, unit_id FROM sightline.verdict") == [("a\ufffdb", "Teil-Ä")]


def test_the_longest_names_a_header_allows_fit_the_keys(conn: Connection) -> None:
    noise = random.Random(1)
    station = "a/b/" + "".join(noise.choices("abcdefghijklmnopqrstuvwxyz", k=MAX_HEADER_BYTES - 4))
    frame_id = "".join(noise.choices("ÄÖÜß", k=MAX_HEADER_BYTES // 2))
    long = {"station": station, "unit_id": frame_id[::-1], "lot": frame_id, "product": station, "epoch": frame_id}
    assert record_verdicts(conn, [a_verdict(frame_id, **long)]) == Recorded(1, 0)


def test_a_verdict_with_more_defects_than_a_pipeline_takes_is_kept_whole(conn: Connection) -> None:
    record_verdicts(conn, [a_failed_verdict("frame-0", *[a_defect(index) for index in range(300)])])
    assert counts(conn)[2] == 300


def test_an_empty_batch_writes_nothing(conn: Connection) -> None:
    assert record_verdicts(conn, []) == Recorded(0, 0)


@pytest.mark.parametrize("n_frames", [60, 250])
def test_writers_of_the_same_frames_never_deadlock(database: str, n_frames: int) -> None:
    n_writers, n_rounds = 4, 5
    stations = [STATION, "lab/line1/cam1", "lab/line2/cam0"]
    start = threading.Barrier(n_writers)

    def write(writer: int) -> int:
        with connect(database) as conn:
            n_new = 0
            for turn in range(n_rounds):
                batch = [
                    a_failed_verdict(f"{turn}-{index}", station=station, revision=writer)
                    for index in range(n_frames // 3)
                    for station in stations
                ]
                start.wait(30)
                n_new += record_verdicts(conn, batch if writer % 2 else batch[::-1]).n_new
                conn.commit()
            return n_new

    with ThreadPoolExecutor(n_writers) as pool:
        n_new = sum(pool.map(write, range(n_writers)))
    n_expected = n_rounds * (n_frames // 3) * 3
    with connect(database) as conn:
        assert n_new == n_expected
        assert counts(conn) == (n_expected, n_expected, n_expected, 0)
        assert rows(conn, "SELECT DISTINCT n_repeats FROM sightline.frame") == [(n_writers - 1,)]

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from agents.database import Connection, connect
from agents.records import ensure_partitions, record_verdicts
from tests.verdicts import NOON, a_verdict

MAY = datetime(2031, 5, 6, tzinfo=UTC)


def places(conn: Connection) -> list[tuple[object, ...]]:
    query = "SELECT frame_id, relname FROM sightline.verdict v JOIN pg_class c ON c.oid = v.tableoid ORDER BY frame_id"
    return conn.execute(query).fetchall()


def test_rows_of_a_month_move_out_of_the_default_partition_when_the_month_is_made(conn: Connection) -> None:
    record_verdicts(conn, [a_verdict("frame-0", captured_at=MAY), a_verdict("frame-1", captured_at=NOON)])
    assert ensure_partitions(conn, MAY, months_ahead=1) == 2
    assert ensure_partitions(conn, MAY, months_ahead=1) == 0
    record_verdicts(conn, [a_verdict("frame-2", captured_at=MAY)])
    assert places(conn) == [
        ("frame-0", "verdict_2031_05"),
        ("frame-1", "verdict_2026_11"),
        ("frame-2", "verdict_2031_05"),
    ]


def test_a_month_made_while_others_write_into_it_loses_nothing(database: str) -> None:
    n_writers, n_batches = 3, 10

    def write(writer: int) -> None:
        with connect(database) as conn:
            for turn in range(n_batches):
                names = [f"{writer}-{turn}-{index}" for index in range(20)]
                record_verdicts(conn, [a_verdict(name, captured_at=MAY) for name in names])
                conn.commit()

    def make(_: int) -> int:
        with connect(database) as conn:
            return ensure_partitions(conn, MAY, months_ahead=0)

    with ThreadPoolExecutor(n_writers + 2) as pool:
        writing = [pool.submit(write, writer) for writer in range(n_writers)]
        assert sum(pool.map(make, range(2))) == 1
        for each in writing:
            each.result()
    with connect(database) as conn:
        assert len(places(conn)) == n_writers * n_batches * 20
        assert {where for _, where in places(conn)} == {"verdict_2031_05"}


def test_a_table_that_somebody_holds_for_long_is_left_for_the_next_time(database: str) -> None:
    with connect(database) as reader, connect(database) as conn:
        reader.execute("SELECT count(*) FROM sightline.verdict")
        assert ensure_partitions(conn, MAY, months_ahead=0) == 0
        record_verdicts(conn, [a_verdict("frame-0", captured_at=MAY)])
        reader.rollback()
        assert ensure_partitions(conn, MAY, months_ahead=0) == 1
        assert places(conn) == [("frame-0", "verdict_2031_05")]

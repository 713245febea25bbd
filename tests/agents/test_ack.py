from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from agents.ack import AckDiscipline, BatchLimits, Progress, Record


@dataclass
class FakeMessage:
    offset: int
    value: bytes = b"x" * 10
    key: bytes = b"k"
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str = "t"
    partition: int = 0
    timestamp: float = 1.0


@dataclass
class FakeEvent:
    message: FakeMessage


@dataclass
class FakeConsumer:
    settled: list[int] = field(default_factory=list)

    def settle(self, message: FakeMessage) -> bool:
        self.settled.append(message.offset)
        return True


class FakeStream:
    """The part of a Faust stream the discipline uses."""

    def __init__(self, n_events: int, value: bytes = b"x" * 10) -> None:
        self.app = self
        self.consumer = FakeConsumer()
        self._n_events = n_events
        self._value = value

    def noack(self) -> FakeStream:
        return self

    async def events(self) -> AsyncIterator[FakeEvent]:
        for offset in range(self._n_events):
            await asyncio.sleep(0)
            yield FakeEvent(FakeMessage(offset, self._value))


@dataclass
class Recorder:
    """Work that takes longest for the earliest batches, so that only the discipline keeps the order."""

    prepare_s: float = 0.0
    fails_at: int | None = None
    fails_in: str = "settle"
    batches: list[list[int]] = field(default_factory=list)
    n_preparing: int = 0
    most_preparing: int = 0

    async def prepare(self, records: Sequence[Record]) -> list[int]:
        self.n_preparing += 1
        self.most_preparing = max(self.most_preparing, self.n_preparing)
        await asyncio.sleep(self.prepare_s / (1 + records[0].origin.offset))
        self.n_preparing -= 1
        self._maybe_fail("prepare", records)
        return [record.origin.offset for record in records]

    async def settle(self, records: Sequence[Record], prepared: list[int]) -> None:
        await asyncio.sleep(0)
        self._maybe_fail("settle", records)
        self.batches.append(prepared)

    def _maybe_fail(self, where: str, records: Sequence[Record]) -> None:
        if where == self.fails_in and any(record.origin.offset == self.fails_at for record in records):
            raise RuntimeError("broken")


def run(stream: FakeStream, work: Recorder, limits: BatchLimits, progress: Progress | None = None) -> None:
    discipline = AckDiscipline(work, limits, progress or Progress())
    asyncio.run(asyncio.wait_for(discipline.run(stream), 10))


def test_every_record_is_settled_once_in_order_though_preparation_overlaps() -> None:
    stream, work = FakeStream(50), Recorder(prepare_s=0.05)
    run(stream, work, BatchLimits(max_records=4, depth=3))
    assert stream.consumer.settled == list(range(50))
    assert [offset for batch in work.batches for offset in batch] == list(range(50))
    assert work.most_preparing > 1


def test_no_more_batches_are_prepared_at_once_than_the_depth() -> None:
    stream, work = FakeStream(60), Recorder(prepare_s=0.02)
    run(stream, work, BatchLimits(max_records=2, depth=2))
    assert work.most_preparing <= 2


def test_a_batch_closes_at_its_record_limit() -> None:
    stream, work = FakeStream(40), Recorder(prepare_s=0.05)
    run(stream, work, BatchLimits(max_records=5, depth=1))
    assert max(len(batch) for batch in work.batches) == 5


def test_a_batch_closes_at_its_byte_limit() -> None:
    stream, work = FakeStream(20, value=b"x" * 100), Recorder(prepare_s=0.05)
    run(stream, work, BatchLimits(max_records=50, max_bytes=300, depth=1))
    assert max(len(batch) for batch in work.batches) == 3


def test_records_that_come_within_the_wait_share_a_batch() -> None:
    stream, work = FakeStream(10), Recorder()
    run(stream, work, BatchLimits(max_records=100, max_wait_s=0.3))
    assert work.batches == [list(range(10))]


@pytest.mark.parametrize("where", ["prepare", "settle"])
def test_an_error_stops_the_worker_and_acknowledges_nothing_from_its_batch_on(where: str) -> None:
    stream, work = FakeStream(30), Recorder(fails_at=7, fails_in=where, prepare_s=0.01)
    with pytest.raises(RuntimeError, match="broken"):
        run(stream, work, BatchLimits(max_records=2, depth=3))
    assert all(offset < 7 for offset in stream.consumer.settled)
    assert stream.consumer.settled == sorted(stream.consumer.settled)


def test_progress_tells_what_is_in_flight_and_settled() -> None:
    progress = Progress()
    run(FakeStream(12), Recorder(), BatchLimits(), progress)
    assert (progress.n_settled, progress.n_in_flight) == (12, 0)
    assert progress.moved_at_s > 0


def test_an_empty_stream_ends_quietly() -> None:
    work = Recorder()
    run(FakeStream(0), work, BatchLimits())
    assert work.batches == []


def test_headers_given_as_a_mapping_become_pairs() -> None:
    from agents.ack import to_record

    message: Any = FakeMessage(3)
    message.headers = {"ce_id": b"1"}
    assert to_record(message).headers == (("ce_id", b"1"),)

"""The ack discipline, in one place: no agent writes its own loop.

A message is acknowledged only after its outcome is durable, strictly in the order it arrived. Work on later
micro-batches may overlap with earlier ones; settling never does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from agents.consumer import SettlingConsumer
from schemas.frame import Headers, Origin

Prepared = TypeVar("Prepared")


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record as it arrived, undecoded."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    origin: Origin


class Work(Protocol[Prepared]):
    """What an agent does with a micro-batch."""

    async def prepare(self, records: Sequence[Record]) -> Prepared:
        """Decode and compute. May run while earlier batches settle; writes nothing that lasts."""
        ...

    async def settle(self, records: Sequence[Record], prepared: Prepared) -> None:
        """Make the outcome of every record durable; called in order, one batch at a time.

        When it returns, all records are acknowledged. When it raises, none is and the worker stops.
        """
        ...


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a micro-batch closes: at so many records or bytes, or so long after its first record.

    With `max_wait_s` 0 a batch closes as soon as the worker is free to start it, so that batches grow only
    under load. `depth` batches may be in preparation at once.
    """

    max_records: int = 16
    max_bytes: int = 32 * 1024 * 1024
    max_wait_s: float = 0.0
    depth: int = 2


@dataclass(slots=True)
class Progress:
    """What a watchdog needs to see. `waiting_for` names a service that is away, while one is."""

    n_settled: int = 0
    n_in_flight: int = 0
    moved_at_s: float = 0.0
    waiting_for: str | None = None


class AckDiscipline(Generic[Prepared]):
    """Feeds a Faust stream to `work` in micro-batches and acknowledges in order once settled."""

    def __init__(
        self, work: Work[Prepared], limits: BatchLimits, progress: Progress, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._work = work
        self._limits = limits
        self._progress = progress
        self._clock = clock

    async def run(self, stream: Any) -> None:
        """Consume `stream` (a Faust stream) until it ends or an error stops the worker."""
        consumer: SettlingConsumer = stream.app.consumer
        feed = _Feed(stream.noack().events())
        batches: asyncio.Queue[tuple[list[Any], asyncio.Task[Prepared]]] = asyncio.Queue()
        slots = asyncio.Semaphore(self._limits.depth)
        settler = asyncio.create_task(self._settle_in_order(batches, slots, consumer))
        try:
            while True:
                events = await self._next_batch(feed, slots, settler)
                if not events:
                    break
                records = [to_record(event.message) for event in events]
                self._progress.n_in_flight += len(events)
                self._progress.moved_at_s = max(self._progress.moved_at_s, self._clock())
                batches.put_nowait((events, asyncio.create_task(self._work.prepare(records))))
            joining = asyncio.create_task(batches.join())
            await asyncio.wait({joining, settler}, return_when=asyncio.FIRST_COMPLETED)
            if settler.done():
                settler.result()
        finally:
            settler.cancel()
            while not batches.empty():
                batches.get_nowait()[1].cancel()
            feed.close()

    async def _settle_in_order(
        self,
        batches: asyncio.Queue[tuple[list[Any], asyncio.Task[Prepared]]],
        slots: asyncio.Semaphore,
        consumer: SettlingConsumer,
    ) -> None:
        while True:
            events, preparing = await batches.get()
            try:
                prepared = await preparing
                slots.release()
                await self._work.settle([to_record(event.message) for event in events], prepared)
            finally:
                preparing.cancel()
            for event in events:
                consumer.settle(event.message)
            self._progress.n_settled += len(events)
            self._progress.n_in_flight -= len(events)
            self._progress.moved_at_s = self._clock()
            batches.task_done()

    async def _next_batch(self, feed: _Feed, slots: asyncio.Semaphore, settler: asyncio.Task[None]) -> list[Any]:
        """The next micro-batch, with a slot taken for it; empty when the stream ended."""
        taking = asyncio.create_task(slots.acquire())
        events: list[Any] = []
        n_bytes = 0
        closes_at_s = float("inf")
        try:
            while True:
                room = len(events) < self._limits.max_records and n_bytes < self._limits.max_bytes
                now_s = self._clock()
                if events and taking.done() and (not room or now_s >= closes_at_s) and not (room and feed.ready()):
                    return events
                waits: set[asyncio.Future[Any]] = {settler}
                if room:
                    waits.add(feed.next())
                if not taking.done():
                    waits.add(taking)
                timeout_s = max(closes_at_s - now_s, 0.0) if events and taking.done() else None
                await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                if settler.done():
                    settler.result()
                if room and feed.ready():
                    event = feed.take()
                    if event is None:
                        if events:
                            await taking
                        return events
                    if not events:
                        closes_at_s = self._clock() + self._limits.max_wait_s
                    events.append(event)
                    n_bytes += len(event.message.value or b"")
        finally:
            if not taking.done():
                taking.cancel()


class _Feed:
    """The stream's events, one pending read at a time that is never cancelled half-way."""

    def __init__(self, events: AsyncIterator[Any]) -> None:
        self._events = aiter(events)
        self._pending: asyncio.Task[Any] | None = None

    def next(self) -> asyncio.Task[Any]:
        if self._pending is None:
            self._pending = asyncio.create_task(self._read())
        return self._pending

    def ready(self) -> bool:
        return self._pending is not None and self._pending.done()

    def take(self) -> Any:
        """The event read, or None at the end of the stream."""
        assert self._pending is not None
        done, self._pending = self._pending, None
        return done.result()

    def close(self) -> None:
        if self._pending is not None:
            self._pending.cancel()

    async def _read(self) -> Any:
        return await anext(self._events, None)


def to_record(message: Any) -> Record:
    """A Faust message as the rest of the house knows it."""
    headers = message.headers or ()
    pairs = headers.items() if hasattr(headers, "items") else headers
    origin = Origin(message.topic, message.partition, message.offset, int((message.timestamp or 0) * 1000))
    return Record(message.key, message.value, tuple(pairs), origin)

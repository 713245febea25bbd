"""Faust's consumer with its costly habits mended (design notes: docs/adr/0003-ack-discipline.md)."""

from __future__ import annotations

import asyncio
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

_LONG_POLL_MS = 50
_POLL_WHILE_FULL_S = 0.02


class PromptThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker, with short long polls.

    aiokafka has one fetch in flight a broker. A fetch for partitions that are at their end is held by the broker for
    `fetch_max_wait_ms`; Faust asks for 1500, and for so long no other partition gets its next records.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _LONG_POLL_MS
        return consumer


class SettlingConsumer(driver.Consumer):
    """A consumer that acknowledges only what was settled, and wakes as soon as there is room.

    Faust acknowledges messages nobody processed: during a rebalance a stream skips what its buffer still
    holds and acks it, so that a commit can run past unfinished frames. Here `ack`, which Faust calls, does
    nothing; `settle`, which `AckDiscipline` alone calls, acknowledges.

    When every partition's buffer is full Faust sleeps one second (34 frames/s at a buffer of 16); when only some
    are, it waits up to one second for the others' records and lets the full ones run dry. Here the fetcher
    waits for a buffer to drop in the first case, and looks again soon in the second.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = asyncio.Event()

    def ack(self, message: Any) -> bool:
        """Refused: see `settle`."""
        return False

    def settle(self, message: Any) -> bool:
        """Acknowledge `message`, whose outcome is durable; False when its partition was reassigned since."""
        if message.generation_id != self.app.consumer_generation_id:
            self._unacked_messages.discard(message)
            return False
        return super().ack(message)

    def on_buffer_drop(self, tp: TP) -> None:
        """A stream has room again for `tp`: wake the fetcher."""
        super().on_buffer_drop(tp)
        self._room.set()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is settled before another worker takes over, so that it repeats little."""
        await self.commit()
        await super().on_partitions_revoked(revoked)

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109  Faust's signature
        while self.flow_active and not self.should_stop and not self._get_active_partitions():
            self._room.clear()
            await self.wait_first(self._room.wait(), timeout=0.25)
        if self._buffered_partitions:
            timeout = min(timeout, _POLL_WHILE_FULL_S)
        return await super()._wait_next_records(timeout)

    def _new_consumer_thread(self) -> PromptThread:
        return PromptThread(self, loop=self.loop, beacon=self.beacon)


class Transport(driver.Transport):
    """Kafka transport whose consumers settle and wake."""

    Consumer = SettlingConsumer

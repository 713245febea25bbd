"""Faust's consumer with its two costly habits mended (design notes: docs/adr/0003-ack-discipline.md)."""

from __future__ import annotations

import asyncio
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP


class SettlingConsumer(driver.Consumer):
    """A consumer that acknowledges only what was settled, and wakes as soon as there is room.

    Faust acknowledges messages nobody processed: during a rebalance a stream skips what its buffer still
    holds and acks it, so that a commit can run past unfinished frames. Here `ack`, which Faust calls, does
    nothing; `settle`, which `AckDiscipline` alone calls, acknowledges.

    When every partition's buffer is full Faust sleeps one second (34 frames/s at a buffer of 16). Here the
    fetcher waits for the buffer to drop instead.
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
        return await super()._wait_next_records(timeout)


class Transport(driver.Transport):
    """Kafka transport whose consumers settle and wake."""

    Consumer = SettlingConsumer

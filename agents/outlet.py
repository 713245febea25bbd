"""Where agents publish: every record awaited with acks=all, retried for as long as the broker is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from agents.ack import Progress
from schemas.topics import MAX_MESSAGE_BYTES

_log = logging.getLogger(__name__)
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 5.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Outlet:
    """An idempotent acks=all producer. Records of one call keep their order; a retry may repeat some."""

    def __init__(self, client_options: Mapping[str, Any], progress: Progress) -> None:
        self._options = client_options
        self._progress = progress
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Return when every record is on all in-sync replicas; retries while the broker is away.

        Raises: KafkaError when the broker refuses a record for good.
        """
        backoff_s = _FIRST_BACKOFF_S
        while records:
            try:
                await self._publish_once(records)
                break
            except (MessageSizeTooLargeError, RecordTooLargeError):
                raise
            except (KafkaError, OSError) as error:
                self._progress.waiting_for = "kafka"
                _log.warning("broker refused %d records, retrying: %r", len(records), error)
                await self.stop()
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
        self._progress.waiting_for = None

    async def stop(self) -> None:
        """Close the connection; the next `publish` opens another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                await asyncio.wait_for(producer.stop(), timeout=5.0)
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("producer did not stop cleanly: %r", error)

    async def _publish_once(self, records: Sequence[Outgoing]) -> None:
        producer = self._producer or await self._connect()
        sent = [await producer.send(r.topic, key=r.key, value=_value(r), headers=list(r.headers)) for r in records]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._options,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=1024 * 1024,
            max_request_size=MAX_MESSAGE_BYTES + 64 * 1024,
            request_timeout_ms=15_000,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer
        return producer


def _value(record: Outgoing) -> bytes | None:
    """The record's value; empty where neither key nor value is given, which aiokafka refuses."""
    return b"" if record.key is None and record.value is None else record.value

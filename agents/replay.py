"""Replay: a refused record goes back to the topic it came from, as it was.

On aiokafka, because kafka-python's producer refuses the null headers a foreign client may have sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from schemas.deadletter import DeadLetter
from schemas.errors import InputError, TransientError
from schemas.topics import MAX_MESSAGE_BYTES

_ROOM_BYTES = 64 * 1024
"""Beside the value: key, headers and framing."""
_TIMEOUT_S = 30.0


class Replayer:
    """Publishes dead letters to their original topics and waits for every acknowledgement (acks=all).

    Args: options: aiokafka's connection options. Raises: TransientError when the broker is away.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._runner = asyncio.Runner()
        self._producer: AIOKafkaProducer | None = None

    def __enter__(self) -> Self:
        try:
            self._producer = self._runner.run(self._start())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._producer is not None:
            self._runner.run(self._producer.stop())
        self._runner.close()

    def send(self, letter: DeadLetter) -> tuple[str, int, int]:
        """Publish `letter` with its original key, bytes and headers; returns topic, partition and new offset.

        A record without key and value goes out with an empty value, which means the same.
        Raises: InputError when the broker refuses it (too large, no such topic); TransientError.
        """
        return self._runner.run(self._send(letter))

    async def _start(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._options,
            acks="all",
            enable_idempotence=True,
            client_id="sightline-replay",
            max_request_size=MAX_MESSAGE_BYTES + _ROOM_BYTES,
        )
        try:
            await producer.start()
        except (KafkaError, OSError) as exc:
            await producer.stop()
            raise TransientError(f"Kafka at {self._options['bootstrap_servers']} is away: {exc}") from exc
        return producer

    async def _send(self, letter: DeadLetter) -> tuple[str, int, int]:
        assert self._producer is not None, "use the replayer in a with statement"
        topic = letter.origin.topic
        value = b"" if letter.value is None and letter.key is None else letter.value
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                placed = await self._producer.send_and_wait(
                    topic, value=value, key=letter.key, headers=list(letter.headers)
                )
        except TimeoutError as exc:
            raise TransientError(f"Kafka did not take the record for {topic} within {_TIMEOUT_S:g} s") from exc
        except KafkaError as exc:
            if exc.retriable or isinstance(exc, KafkaConnectionError):
                raise TransientError(f"Kafka did not take the record for {topic}: {exc!r}") from exc
            raise InputError(f"Kafka refused the record for {topic}: {exc!r}") from exc
        return placed.topic, placed.partition, placed.offset

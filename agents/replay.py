"""Replay: a refused record goes back to the topic it came from, as it was."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from schemas.deadletter import DeadLetter
from schemas.errors import InputError, TransientError
from schemas.topics import MAX_MESSAGE_BYTES

_ROOM_BYTES = 64 * 1024
"""Beside the value: key, headers and framing."""
_TIMEOUT_S = 30.0


class Replayer:
    """Publishes dead letters to their original topics and waits for every acknowledgement (acks=all).

    Args: options: kafka-python's connection options. Raises: TransientError when the broker is away.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        try:
            self._producer = KafkaProducer(
                **options,
                acks="all",
                client_id="sightline-replay",
                max_request_size=MAX_MESSAGE_BYTES + _ROOM_BYTES,
                allow_auto_create_topics=False,
            )
        except KafkaError as exc:
            raise TransientError(f"Kafka at {options['bootstrap_servers']} is away: {exc}") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer.close()

    def send(self, letter: DeadLetter) -> tuple[str, int, int]:
        """Publish `letter` with its original key, bytes and headers; returns topic, partition and new offset.

        Raises: InputError when the broker refuses it (too large, no such topic); TransientError.
        """
        topic = letter.origin.topic
        try:
            future = self._producer.send(topic, value=letter.value, key=letter.key, headers=list(letter.headers))
            placed = future.get(timeout=_TIMEOUT_S)
        except KafkaError as exc:
            if getattr(exc, "retriable", False):
                raise TransientError(f"Kafka did not take the record for {topic}: {exc!r}") from exc
            raise InputError(f"Kafka refused the record for {topic}: {exc!r}") from exc
        return placed.topic, placed.partition, placed.offset

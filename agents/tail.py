"""The end of some topics, followed without a consumer group: watching takes nothing from anyone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from schemas.errors import SetupError, TransientError

_POLL_MS = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """A record of one of the topics."""

    topic: str
    key: bytes | None
    value: bytes | None


class Tail:
    """Records of `topics` that arrive from now on, or from a moment on.

    Args:
        options: kafka-python's connection options.
        since: begin with the records of that moment; None: with the next one.
    Raises: SetupError when a topic does not exist; TransientError when the broker is away.
    """

    def __init__(self, options: Mapping[str, Any], topics: Sequence[str], since: datetime | None = None) -> None:
        try:
            self._consumer = KafkaConsumer(
                **options, group_id=None, enable_auto_commit=False, client_id="sightline-watch"
            )
        except KafkaError as exc:
            raise TransientError(f"Kafka at {options['bootstrap_servers']} is away: {exc}") from exc
        try:
            self._start(topics, since)
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def poll(self) -> Iterator[Seen]:
        """What arrived since the last call, after waiting a moment for more; order is kept within a key."""
        for records in self._consumer.poll(timeout_ms=_POLL_MS).values():
            for record in records:
                yield Seen(record.topic, record.key, record.value)

    def _start(self, topics: Sequence[str], since: datetime | None) -> None:
        existing = self._consumer.topics()
        if missing := sorted(set(topics) - set(existing)):
            raise SetupError(f"topic {missing[0]} does not exist: start `sightline up`, or check topic_prefix")
        partitions = [TopicPartition(topic, n) for topic in topics for n in self._consumer.partitions_for_topic(topic)]
        self._consumer.assign(partitions)
        self._consumer.seek_to_end(*partitions)
        if since is not None:
            self._seek(partitions, since)
        for partition in partitions:
            self._consumer.position(partition)

    def _seek(self, partitions: Sequence[Any], since: datetime) -> None:
        moment_ms = int(since.timestamp() * 1000)
        for partition, found in self._consumer.offsets_for_times(dict.fromkeys(partitions, moment_ms)).items():
            if found is not None:
                self._consumer.seek(partition, found.offset)

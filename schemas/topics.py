"""The few fixed topics, by name, and how each must be created."""

from __future__ import annotations

from dataclasses import dataclass

MAX_INLINE_PICTURE_BYTES = 2 * 1024 * 1024
"""Above this a picture travels by claim check."""
MAX_CLAIMED_PICTURE_BYTES = 256 * 1024 * 1024
"""The largest picture a claim check may stand for."""
MAX_MESSAGE_BYTES = 10 * 1024 * 1024
"""Limit agreed by topic, broker, producer and consumer."""
MAX_DEAD_LETTER_BYTES = MAX_MESSAGE_BYTES + 64 * 1024
"""A dead letter is the largest message plus the headers that say why."""
_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How one topic is created, and what a worker insists on before it consumes."""

    name: str
    partitions: int
    retention_ms: int
    max_message_bytes: int = MAX_MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the six topics under one prefix (setting ``topic_prefix``)."""

    prefix: str = "sightline."

    @property
    def frames(self) -> str:
        return f"{self.prefix}frames"

    @property
    def aligned(self) -> str:
        return f"{self.prefix}aligned"

    @property
    def verdicts(self) -> str:
        return f"{self.prefix}verdicts"

    @property
    def reinspections(self) -> str:
        return f"{self.prefix}reinspections"

    @property
    def alerts(self) -> str:
        return f"{self.prefix}alerts"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}dead-letters"

    def specs(self, partitions: int) -> tuple[TopicSpec, ...]:
        """Every topic with its size; `partitions` bounds how many workers can share the line."""
        week = 7 * _DAY_MS
        return (
            TopicSpec(self.frames, partitions, 2 * _DAY_MS),
            TopicSpec(self.aligned, partitions, _DAY_MS),
            TopicSpec(self.verdicts, partitions, week),
            TopicSpec(self.reinspections, partitions, week),
            TopicSpec(self.alerts, 1, 4 * week),
            TopicSpec(self.dead_letters, 1, 4 * week, MAX_DEAD_LETTER_BYTES),
        )

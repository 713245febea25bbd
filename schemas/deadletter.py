"""A dead letter: the original record, untouched, plus why it was refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.errors import PoisonFrame
from schemas.frame import Headers, Origin
from schemas.times import format_rfc3339, parse_rfc3339

PREFIX = "dl_"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Original key, value and headers of a refused record; `origin` and `reason` say where and why."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: str
    detail: str
    origin: Origin
    at: datetime

    def kafka_headers(self) -> list[tuple[str, bytes | None]]:
        """The original headers followed by the ``dl_*`` ones."""
        added: Mapping[str, str] = {
            "dl_reason": self.reason,
            "dl_detail": self.detail,
            "dl_topic": self.origin.topic,
            "dl_partition": str(self.origin.partition),
            "dl_offset": str(self.origin.offset),
            "dl_at": format_rfc3339(self.at),
        }
        kept = [(name, raw) for name, raw in self.headers if name not in added]
        return kept + [(name, text.encode()) for name, text in added.items()]


def dead_letter(
    key: bytes | None, value: bytes | None, headers: Headers, origin: Origin, poison: PoisonFrame, at: datetime
) -> DeadLetter:
    """The dead letter of a record that `poison` condemned."""
    return DeadLetter(key, value, tuple(headers), poison.reason.value, poison.detail, origin, at)


def decode_dead_letter(key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int) -> DeadLetter:
    """The dead letter a record of the dead-letters topic carries.

    Raises: ValueError when a ``dl_*`` header is absent or malformed.
    """
    texts = {
        name: bytes(raw).decode("utf-8", "replace")
        for name, raw in headers
        if raw is not None and name.startswith(PREFIX)
    }
    missing = {"dl_reason", "dl_topic", "dl_partition", "dl_offset", "dl_at"} - texts.keys()
    if missing:
        raise ValueError(f"not a dead letter: headers {sorted(missing)} are absent")
    origin = Origin(texts["dl_topic"], int(texts["dl_partition"]), int(texts["dl_offset"]), timestamp_ms)
    original = tuple((name, raw) for name, raw in headers if name not in texts)
    return DeadLetter(
        key, value, original, texts["dl_reason"], texts.get("dl_detail", ""), origin, parse_rfc3339(texts["dl_at"])
    )

"""Times as the contracts want them: UTC, RFC 3339, microseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, WithJsonSchema

_RFC3339 = re.compile(r"^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_rfc3339(text: str) -> datetime:
    """The instant `text` names, in UTC; digits beyond the microsecond are cut off.

    Raises: ValueError if `text` is not an RFC 3339 time with an offset.
    """
    match = _RFC3339.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2026-01-31T12:00:00.000000Z")
    day, clock, fraction, offset = match.groups()
    micros = (fraction or ".0")[:7]
    zone = "+00:00" if offset in "Zz" else offset
    try:
        return datetime.fromisoformat(f"{day}T{clock}{micros}{zone}").astimezone(UTC)
    except OverflowError as exc:
        raise ValueError(f"{text!r} is out of the range of years 1 to 9999") from exc


def format_rfc3339(when: datetime) -> str:
    """`when` (aware) as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``."""
    return (
        when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if when.year >= 1000
        else (when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"))
    )


def from_unix_ms(timestamp_ms: int) -> datetime:
    """The instant `timestamp_ms` milliseconds after 1970-01-01T00:00Z."""
    return _EPOCH + timedelta(milliseconds=timestamp_ms)


def _aware(when: datetime) -> datetime:
    if when.tzinfo is None:
        raise ValueError("a time needs an offset")
    return when.astimezone(UTC)


Timestamp = Annotated[
    datetime,
    AfterValidator(_aware),
    PlainSerializer(format_rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

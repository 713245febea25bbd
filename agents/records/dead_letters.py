"""Dead letters into `dead_letter`, whole, so that they can be shown and sent again."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from agents.database import Connection, database_edge
from agents.records.upsert import Upsert, storable
from schemas.deadletter import DeadLetter
from schemas.frame import Headers
from schemas.times import from_unix_ms

_DEAD_LETTERS = Upsert(
    "dead_letter",
    (
        "topic",
        "partition",
        "offset",
        "reason",
        "detail",
        "at",
        "record_at",
        "key",
        "value",
        "evidence",
        "size_bytes",
        "headers",
    ),
    '(topic, partition, "offset") DO NOTHING',
    key=("topic", "partition", "offset"),
)


def record_dead_letters(
    conn: Connection, letters: Sequence[DeadLetter], evidence: Sequence[str | None] | None = None
) -> None:
    """Write refused records by their origin (topic, partition, offset); one already there changes nothing.

    Args: evidence: for each letter where its value is kept, or None; a value kept there is not stored here again.
    The caller owns the transaction. Raises: TransientError.
    """
    places = evidence if evidence is not None else [None] * len(letters)
    rows = [
        (
            letter.origin.topic,
            letter.origin.partition,
            letter.origin.offset,
            letter.reason,
            storable(letter.detail),
            letter.at,
            from_unix_ms(max(letter.origin.timestamp_ms, 0)),
            letter.key,
            letter.value if place is None else None,
            place,
            len(letter.value or b""),
            Jsonb(stored_headers(letter.headers)),
        )
        for letter, place in zip(letters, places, strict=True)
    ]
    unique = {row[:3]: row for row in reversed(rows)}
    with database_edge():
        _DEAD_LETTERS.run(conn, list(unique.values()))


def stored_headers(headers: Headers) -> list[dict[str, str | None]]:
    """Headers as column `headers` holds them: order, repeated names and arbitrary bytes survive."""
    return [
        {"name": storable(name), "base64": None if raw is None else base64.b64encode(bytes(raw)).decode()}
        for name, raw in headers
    ]


def original_headers(stored: Sequence[Mapping[str, Any]]) -> list[tuple[str, bytes | None]]:
    """The headers `stored_headers` was given."""
    return [
        (str(header["name"]), None if header["base64"] is None else base64.b64decode(header["base64"]))
        for header in stored
    ]

"""Dead letters read back: listed for people, loaded whole to be sent again."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass
from datetime import datetime

from agents.database import Connection, database_edge
from agents.records.dead_letters import original_headers
from schemas.deadletter import DeadLetter
from schemas.errors import InputError
from schemas.frame import Origin
from schemas.store import read_reference


@dataclass(frozen=True, slots=True)
class LetterId:
    """Where the refused record lay; written ``topic/partition/offset``."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class LetterSummary:
    """A dead letter without its bytes."""

    letter_id: LetterId
    reason: str
    detail: str
    at: datetime
    key: bytes | None
    size_bytes: int
    n_replays: int
    replayed_at: datetime | None


def parse_letter_id(text: str) -> LetterId:
    """The id in `text`. Raises: InputError."""
    try:
        topic, partition, offset = text.rsplit("/", 2)
        return LetterId(topic, int(partition), int(offset))
    except ValueError as exc:
        raise InputError(f"{text!r} is not topic/partition/offset, such as sightline.frames/3/17") from exc


def list_dead_letters(
    conn: Connection,
    *,
    reason: str | None = None,
    station: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
    waiting_only: bool = False,
) -> list[LetterSummary]:
    """Dead letters, newest first; `waiting_only` leaves out those that were replayed. Raises: TransientError."""
    with database_edge():
        rows = conn.execute(
            'SELECT topic, partition, "offset", reason, detail, at, key, size_bytes, n_replays, replayed_at'
            " FROM sightline.dead_letter"
            " WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)"
            " AND (%(key)s::bytea IS NULL OR key = %(key)s)"
            " AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)"
            " AND (NOT %(waiting)s OR n_replays = 0)"
            ' ORDER BY at DESC, topic, partition, "offset" LIMIT %(limit)s',
            {
                "reason": reason,
                "key": station.encode() if station else None,
                "since": since,
                "waiting": waiting_only,
                "limit": limit,
            },
        ).fetchall()
    return [LetterSummary(LetterId(*row[:3]), *row[3:]) for row in rows]


def load_dead_letter(conn: Connection, letter_id: LetterId) -> DeadLetter:
    """The refused record, whole; its value comes from the evidence store when it is kept there.

    Raises: InputError when there is none, or its bytes are gone or altered; TransientError.
    """
    with database_edge():
        row = conn.execute(
            "SELECT key, value, evidence, headers, reason, detail, at,"
            " (extract(epoch FROM record_at) * 1000)::bigint FROM sightline.dead_letter"
            ' WHERE topic = %s AND partition = %s AND "offset" = %s',
            [letter_id.topic, letter_id.partition, letter_id.offset],
        ).fetchone()
    if row is None:
        raise InputError(f"there is no dead letter {letter_id}: `sightline dead-letters list` shows them")
    key, value, evidence, headers, reason, detail, at, record_ms = row
    if evidence is not None:
        value = _from_evidence(letter_id, evidence)
    origin = Origin(letter_id.topic, letter_id.partition, letter_id.offset, record_ms)
    return DeadLetter(key, value, tuple(original_headers(headers)), reason, detail, origin, at)


def mark_replayed(conn: Connection, letter_id: LetterId, at: datetime) -> None:
    """Note that a letter was sent again. The caller owns the transaction. Raises: TransientError."""
    with database_edge():
        conn.execute(
            "UPDATE sightline.dead_letter SET n_replays = n_replays + 1, replayed_at = %s"
            ' WHERE topic = %s AND partition = %s AND "offset" = %s',
            [at, letter_id.topic, letter_id.partition, letter_id.offset],
        )


def _from_evidence(letter_id: LetterId, ref: str) -> bytes:
    try:
        value = read_reference(ref)
    except FileNotFoundError as exc:
        raise InputError(
            f"the bytes of dead letter {letter_id} are gone: {ref} was deleted (evidence_max_age_days)"
        ) from exc
    if hashlib.sha256(value).hexdigest() != posixpath.basename(ref).split(".", 1)[0]:
        raise InputError(f"the bytes of dead letter {letter_id} in {ref} were altered: they are not sent again")
    return value

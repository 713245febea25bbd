"""The archive agents: verdicts, re-inspections, alerts and dead letters from their topics into Postgres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from psycopg import DataError

from agents.ack import Record
from agents.database import Connection
from agents.evidence import EvidenceKeeper, suffix_of
from agents.outlet import Outgoing, Outlet
from agents.records import record_alerts, record_dead_letters, record_verdicts
from agents.session import Session
from schemas.alert import Alert, decode_alert
from schemas.deadletter import DeadLetter, dead_letter, decode_dead_letter
from schemas.errors import DeadLetterReason, PoisonFrame
from schemas.tables import VerdictKind
from schemas.verdict import Verdict, decode_verdict

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Decoded(Generic[Item]):
    """What a batch holds: items in order, and the records that are none."""

    items: tuple[Item, ...]
    refused: tuple[tuple[Record, PoisonFrame], ...]


class ArchiveWork(Generic[Item]):
    """Decodes a topic of JSON records and writes them in one transaction a batch."""

    def __init__(
        self,
        decode: Callable[[bytes], Item],
        write: Callable[[Connection, Sequence[Item]], object],
        session: Session,
        outlet: Outlet,
        dead_letters_topic: str,
    ) -> None:
        self._decode = decode
        self._write = write
        self._session = session
        self._outlet = outlet
        self._dead_letters_topic = dead_letters_topic

    async def prepare(self, records: Sequence[Record]) -> Decoded[Item]:
        """Decode; what is no such record is set apart."""
        items: list[Item] = []
        refused: list[tuple[Record, PoisonFrame]] = []
        for record in records:
            try:
                items.append(self._decode(record.value or b""))
            except ValueError as error:
                detail = f"record {record.origin.offset} of {record.origin.topic} cannot be read: {_one_line(error)}"
                refused.append((record, PoisonFrame(DeadLetterReason.MALFORMED_RECORD, detail)))
        return Decoded(tuple(items), tuple(refused))

    async def settle(self, records: Sequence[Record], prepared: Decoded[Item]) -> None:
        """Commit the items; publish dead letters for the rest."""
        refused = list(prepared.refused)
        if prepared.items:
            try:
                await self._session.run(lambda conn: self._write(conn, prepared.items))
            except DataError:
                refused += await self._write_one_by_one(records, prepared)
        await self._outlet.publish([self._letter(record, poison) for record, poison in refused])

    async def _write_one_by_one(
        self, records: Sequence[Record], prepared: Decoded[Item]
    ) -> list[tuple[Record, PoisonFrame]]:
        """Write each item in its own transaction; those whose values the database cannot hold come back refused."""
        unread = {id(record) for record, _ in prepared.refused}
        refused: list[tuple[Record, PoisonFrame]] = []
        for record, item in zip((r for r in records if id(r) not in unread), prepared.items, strict=True):
            try:
                await self._session.run(lambda conn, one=item: self._write(conn, [one]))  # type: ignore[misc]
            except DataError as error:
                detail = f"record {record.origin.offset} of {record.origin.topic} cannot be stored: {_one_line(error)}"
                refused.append((record, PoisonFrame(DeadLetterReason.MALFORMED_RECORD, detail)))
        return refused

    def _letter(self, record: Record, poison: PoisonFrame) -> Outgoing:
        letter = dead_letter(record.key, record.value, record.headers, record.origin, poison, datetime.now(UTC))
        return Outgoing(self._dead_letters_topic, record.key, record.value, tuple(letter.kafka_headers()))


class DeadLetterWork:
    """Keeps the picture of every dead letter as evidence, then its row."""

    def __init__(self, session: Session, evidence: EvidenceKeeper) -> None:
        self._session = session
        self._evidence = evidence

    async def prepare(self, records: Sequence[Record]) -> list[DeadLetter]:
        """Read the ``dl_*`` headers; a record without them is itself recorded as malformed."""
        return [_read_letter(record) for record in records]

    async def settle(self, records: Sequence[Record], prepared: list[DeadLetter]) -> None:
        """Evidence first, then one transaction."""
        places = [await self._keep(letter) for letter in prepared]
        await self._session.run(lambda conn: record_dead_letters(conn, prepared, places))

    async def _keep(self, letter: DeadLetter) -> str | None:
        if not letter.value:
            return None
        texts = {name.lower(): raw for name, raw in letter.headers}
        content_type = bytes(texts.get("content-type") or b"").decode("utf-8", "replace")
        return await self._evidence.keep(letter.value, suffix_of(content_type), "dead-letter")


def archive_verdicts(
    kind: VerdictKind, session: Session, outlet: Outlet, dead_letters_topic: str
) -> ArchiveWork[Verdict]:
    """Work for the verdicts topic (`kind` live) or the reinspections topic."""
    return ArchiveWork(
        decode_verdict, lambda conn, items: record_verdicts(conn, items, kind), session, outlet, dead_letters_topic
    )


def archive_alerts(session: Session, outlet: Outlet, dead_letters_topic: str) -> ArchiveWork[Alert]:
    """Work for the alerts topic."""
    return ArchiveWork(decode_alert, record_alerts, session, outlet, dead_letters_topic)


def _read_letter(record: Record) -> DeadLetter:
    try:
        return decode_dead_letter(record.key, record.value, record.headers, record.origin.timestamp_ms)
    except ValueError as error:
        poison = PoisonFrame(DeadLetterReason.MALFORMED_RECORD, f"{record.origin.topic}: {_one_line(error)}")
        at = datetime.fromtimestamp(max(record.origin.timestamp_ms, 0) / 1000, UTC)
        return dead_letter(record.key, record.value, record.headers, record.origin, poison, at)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]

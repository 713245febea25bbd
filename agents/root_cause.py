"""The root-cause agent: aligned frames in; windows, alarms and alerts in Postgres, exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agents.ack import Progress, Record
from agents.database import Connection
from agents.evidence import EvidenceKeeper, persistently
from agents.golden import Golden, GoldenReferences
from agents.outlet import Outgoing, Outlet
from agents.records import load_root_cause, save_root_cause
from agents.session import Session
from pipeline.root_cause import RootCause
from pipeline.root_cause_state import saved_bundle
from schemas.alert import Alert
from schemas.aligned import AlignedFrame, decode_aligned
from schemas.deadletter import dead_letter
from schemas.errors import DeadLetterReason, PoisonFrame, StaleWrite
from schemas.topics import Topics

_log = logging.getLogger(__name__)
_MAX_RELOADS = 5
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class RootCauseParts:
    """What the composition root hands to the agent."""

    topics: Topics
    session: Session
    evidence: EvidenceKeeper
    golden: GoldenReferences
    outlet: Outlet
    progress: Progress


@dataclass(slots=True)
class _Held:
    """A station and product in memory, as of database row version `version` (0: no row yet)."""

    state: RootCause | None
    version: int


@dataclass(slots=True)
class _Change:
    """What one batch does to one station and product."""

    alerts: list[Alert] = field(default_factory=list)
    slots: dict[int, bytes | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Read:
    """A batch, decoded: frames in order, and the records that are none."""

    frames: tuple[AlignedFrame, ...]
    refused: tuple[tuple[Record, PoisonFrame], ...]


class RootCauseWork:
    """Keeps one `RootCause` a station and product; memory is a cache of the database, never ahead of an ack.

    A batch is computed once and saved in one transaction with its alerts and their outbox rows. Another worker
    that saved meanwhile (`StaleWrite`) makes this one load again and compute from there, where frames the other
    already took in change nothing.
    """

    def __init__(self, parts: RootCauseParts) -> None:
        self._parts = parts
        self._held: dict[Key, _Held] = {}
        self._is_outdated = False
        self._latest_bundle = ""

    def forget(self, *_: Any, **__: Any) -> None:
        """Drop the memory before the next batch: partitions were assigned anew, others may have saved since.

        Not at once: a batch that is being taken in would go on from a state without its own first frames.
        """
        self._is_outdated = True

    async def prepare(self, records: Sequence[Record]) -> Read:
        """Decode; what is no aligned frame is set apart."""
        frames: list[AlignedFrame] = []
        refused: list[tuple[Record, PoisonFrame]] = []
        for record in records:
            try:
                frames.append(decode_aligned(record.value or b""))
            except ValueError as error:
                detail = f"record {record.origin.offset} of {record.origin.topic}: {' '.join(str(error).split())[:300]}"
                refused.append((record, PoisonFrame(DeadLetterReason.MALFORMED_RECORD, detail)))
        return Read(tuple(frames), tuple(refused))

    async def settle(self, records: Sequence[Record], prepared: Read) -> None:
        """Take the frames in, in order, and commit."""
        for attempt in range(_MAX_RELOADS):
            if self._is_outdated:
                self._is_outdated = False
                self._held.clear()
            try:
                await self._take_in(prepared.frames)
                break
            except StaleWrite as stale:
                _log.warning("loading again (%d): %s", attempt + 1, stale)
                self.forget()
        else:
            raise StaleWrite(f"another worker keeps saving the same stations; gave up after {_MAX_RELOADS} loads")
        await self._parts.outlet.publish([self._letter(record, poison) for record, poison in prepared.refused])

    async def _take_in(self, frames: Sequence[AlignedFrame]) -> None:
        if not frames:
            return
        for frame in frames:
            await self._make_ready(frame)
        changes, pictures = await asyncio.to_thread(self._advance, frames)
        for picture in pictures:
            await self._parts.evidence.keep(picture, ".png", "alert")
        versions = await self._parts.session.run(lambda conn: self._save(conn, changes))
        for key, version in versions.items():
            self._held[key].version = version
        for change in changes.values():
            for alert in change.alerts:
                _log.warning("%s", alert.text, extra={"station": alert.station, "alert_id": alert.alert_id})

    async def _make_ready(self, frame: AlignedFrame) -> None:
        """Have the state of the frame's station and product, and its bundle's references, in memory."""
        key = (frame.header.station, frame.header.product)
        if key not in self._held:
            await self._load(key)
        if frame.header.bundle_sha256 != self._latest_bundle:
            await self._golden(frame.header.bundle_sha256)
            self._latest_bundle = frame.header.bundle_sha256

    def _advance(self, frames: Sequence[AlignedFrame]) -> tuple[dict[Key, _Change], list[bytes]]:
        """Take `frames` into the states in memory; what changed by it, and the pictures its alerts name."""
        changes: dict[Key, _Change] = {}
        pictures: list[bytes] = []

        def keep(picture: bytes) -> str:
            pictures.append(picture)
            return self._parts.evidence.reference(picture, ".png", "alert")

        for frame in frames:
            key = (frame.header.station, frame.header.product)
            held = self._held[key]
            if held.state is not None and not held.state.scene.order.is_new(frame.header):
                continue  # a repeat, which may be of the recipe before: it must not end the state of this one
            change = changes.setdefault(key, _Change())
            if held.state is None or not held.state.fits(frame):
                if held.state is not None:
                    change.alerts += held.state.retire(frame.header.captured_at)
                    change.slots |= dict.fromkeys(held.state.window.slots())
                golden = self._parts.golden.of_bundle(frame.header.bundle_sha256)
                held.state = RootCause.start(frame, golden.baseline, golden.template, golden.usual)
            change.alerts += held.state.update(frame, keep)
            change.slots |= held.state.take_changed_slots()
        return changes, pictures

    async def _load(self, key: Key) -> None:
        stored = await self._parts.session.run(lambda conn: load_root_cause(conn, *key))
        held = _Held(None, 0)
        if stored is not None:
            golden = await self._golden(saved_bundle(stored.state))
            state = RootCause.from_bytes(stored.state, stored.slots, golden.baseline, golden.template)
            held = _Held(state, stored.version)
        self._held[key] = held

    async def _golden(self, bundle_sha256: str) -> Golden:
        golden = self._parts.golden
        return await persistently(lambda: golden.of_bundle(bundle_sha256), self._parts.progress, "bundle store")

    def _save(self, conn: Connection, changes: dict[Key, _Change]) -> dict[Key, int]:
        versions: dict[Key, int] = {}
        for key in sorted(changes):
            held, change = self._held[key], changes[key]
            assert held.state is not None
            versions[key] = save_root_cause(
                conn,
                *key,
                state_bytes=held.state.to_bytes(),
                slots=change.slots,
                alerts=change.alerts,
                last_epoch=held.state.last_epoch,
                last_sequence=held.state.last_sequence,
                version=held.version,
            )
        return versions

    def _letter(self, record: Record, poison: PoisonFrame) -> Outgoing:
        letter = dead_letter(record.key, record.value, record.headers, record.origin, poison, datetime.now(UTC))
        return Outgoing(self._parts.topics.dead_letters, record.key, record.value, tuple(letter.kafka_headers()))

"""A broker in memory: acknowledges while it is up, keeps silent or fails when told to."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from kafka.errors import MessageSizeTooLargeError

from agents.frame_producer import FrameProducer, OnAcknowledged, OnFailed
from agents.spool import SpoolRecord
from schemas.errors import TransientError


@dataclass
class FakeBroker:
    """`log` holds what arrived, in order. `silent` keeps records without answering; `down` refuses connections."""

    silent: bool = False
    down: bool = False
    max_value_bytes: int = 10 * 1024 * 1024
    fail_at: set[int] = field(default_factory=set)
    log: list[SpoolRecord] = field(default_factory=list)
    n_connections: int = 0
    n_sent: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    producers: list[FakeProducer] = field(default_factory=list)

    def connect(self) -> FrameProducer:
        with self.lock:
            if self.down:
                raise TransientError("no broker can be reached (fake: refused)")
            self.n_connections += 1
            producer = FakeProducer(self)
            self.producers.append(producer)
            return producer

    def come_back(self) -> None:
        """Answer again; what a live producer still holds arrives now, in order."""
        with self.lock:
            self.silent = self.down = False
            for producer in self.producers:
                producer.flush()


class FakeProducer:
    """Delivers in order, as an idempotent producer with one batch in flight does."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker
        self._held: list[tuple[SpoolRecord, OnAcknowledged, OnFailed]] = []
        self._abandoned = False

    def send(self, record: SpoolRecord, on_acknowledged: OnAcknowledged, on_failed: OnFailed) -> None:
        with self._broker.lock:
            self._held.append((record, on_acknowledged, on_failed))
            if not self._broker.silent:
                self.flush()

    def flush(self) -> None:
        broker = self._broker
        while self._held and not self._abandoned:
            record, on_acknowledged, on_failed = self._held.pop(0)
            number = broker.n_sent
            broker.n_sent += 1
            if number in broker.fail_at:
                on_failed(ConnectionResetError("fake: the broker died"))
            elif len(record.value) > broker.max_value_bytes:
                on_failed(MessageSizeTooLargeError("fake: too large"))
                for _, _, also_failed in self._held:
                    also_failed(MessageSizeTooLargeError("fake: too large"))
                self._held.clear()
            else:
                broker.log.append(record)
                on_acknowledged()

    def abandon(self) -> None:
        self._abandoned = True

    def close(self) -> None:
        self._abandoned = True

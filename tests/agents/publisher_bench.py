"""A camera's publisher on a fake broker, for its tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from agents.backlog import DeliveryLimits
from agents.claim_check import ClaimCheck
from agents.frame_producer import ProducerFactory
from agents.frame_publisher import FramePublisher
from agents.spool import Spool, SpoolRecord
from schemas.store import ContentStore
from tests.agents.fake_broker import FakeBroker

PNG = b"\x89PNG\r\n\x1a\n"
QUICK = DeliveryLimits(patience_s=0.2)


def a_record(sequence: int, n_bytes: int = 100) -> SpoolRecord:
    value = PNG + bytes([sequence % 256]) * n_bytes
    return SpoolRecord(b"lab/line1/cam0", value, (("ce_id", str(sequence).encode()),))


def sequences(records: list[SpoolRecord]) -> list[int]:
    return [int(dict(record.headers)["ce_id"]) for record in records]


def until(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


class PublisherBench:
    """A publisher, its broker, its spool folder and what it said."""

    def __init__(self, folder: Path) -> None:
        self.broker = FakeBroker()
        self.folder = folder
        self.said: list[str] = []
        self.open: list[FramePublisher] = []

    def publisher(
        self,
        *,
        limits: DeliveryLimits = QUICK,
        spool_bytes: int = 10**8,
        waits: bool = False,
        claims: ContentStore | None = None,
        connect: ProducerFactory | None = None,
    ) -> FramePublisher:
        spool = Spool(self.folder, spool_bytes)
        made = FramePublisher(
            connect or self.broker.connect,
            spool,
            ClaimCheck(claims),
            limits=limits,
            waits=waits,
            notice=self.said.append,
        )
        self.open.append(made)
        return made

    def close(self) -> None:
        """Close every publisher."""
        for publisher in self.open:
            publisher.close()

"""A camera of the tests' own: frames of one station by the contract, in any order a test wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from kafka import KafkaProducer

from pipeline.plate import SimulatedLine, encode_png
from pipeline.plate_defects import FixtureScratch
from tests.line.bad_frames import headers

SCRATCHES_FROM = 24
_N_PICTURES = 24


@dataclass
class Feed:
    """Frames of `station`; from number SCRATCHES_FROM on the fixture scratches every part at one place."""

    kafka: str
    topic: str
    station: str
    epoch: str = "boot-1"
    _acknowledgements: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._producer = KafkaProducer(bootstrap_servers=self.kafka, acks="all", linger_ms=0)
        self._thread: threading.Thread | None = None

    def send(self, sequence: int) -> None:
        """Send frame `sequence`, again if it was sent before."""
        pairs = headers(
            f"{self.station}-{self.epoch}-{sequence}",
            self.station,
            ce_product=SimulatedLine.product,
            ce_epoch=self.epoch,
            ce_sequence=str(sequence),
        )
        future = self._producer.send(
            self.topic, key=self.station.encode(), value=picture(sequence), headers=list(pairs)
        )
        self._acknowledgements.append(future)

    def start(self, sequences: Iterable[int], fps: float) -> Feed:
        """Send `sequences` in a thread, at a pace."""
        picture(0), picture(SCRATCHES_FROM)
        self._thread = threading.Thread(target=self._run, args=(sequences, fps), daemon=True)
        self._thread.start()
        return self

    def finish(self, timeout_s: float = 240.0) -> int:
        """Wait until all is sent and acknowledged; how many sends that were."""
        if self._thread is not None:
            self._thread.join(timeout_s)
            assert not self._thread.is_alive(), f"the feed of {self.station} did not end in {timeout_s:g} s"
        self._producer.flush()
        for future in self._acknowledgements:
            future.get(timeout=60)  # type: ignore[attr-defined]
        self._producer.close()
        return len(self._acknowledgements)

    def _run(self, sequences: Iterable[int], fps: float) -> None:
        due_s = time.monotonic()
        for sequence in sequences:
            time.sleep(max(due_s - time.monotonic(), 0.0))
            due_s += 1.0 / fps
            self.send(sequence)


def picture(sequence: int) -> bytes:
    """The PNG of frame `sequence`."""
    return _pictures(sequence >= SCRATCHES_FROM)[sequence % _N_PICTURES]


@cache
def _pictures(scratched: bool) -> tuple[bytes, ...]:
    plates = SimulatedLine(7, defect_rate=0.0, fixture=FixtureScratch(0) if scratched else None)
    return tuple(encode_png(plates.unit(index).picture) for index in range(_N_PICTURES))

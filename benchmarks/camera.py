"""Frames per second from the camera's publisher to a real broker, beside librdkafka's producer on the same frames.

Both sides capture (identity, headers), publish with acks=all and idempotence to topics of their own on one broker,
and stop the clock when every frame is acknowledged; rounds alternate. Ours also bounds memory, tells an outage from a
pause, and is ready to spool.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agents.camera import Camera, CameraSettings, Pacer, Shutter, boot_epoch, record_of, run_camera
from agents.claim_check import ClaimCheck
from agents.frame_producer import BATCH_BYTES, DEFAULT_LINGER_MS, KafkaFrameProducer
from agents.frame_publisher import FramePublisher
from agents.frame_sources import Shot, SimulatorSettings, simulator
from agents.spool import Spool
from agents.topic_admin import ensure_topics
from benchmarks.result import BenchResult, machine
from deploy.embedded.kafka import EmbeddedKafka
from deploy.settings import Settings
from schemas.errors import MissingExtra, SightlineError
from schemas.topics import MAX_MESSAGE_BYTES, Topics

NAME = "camera"
STATION = "bench/line1/cam0"
_N_PICTURES = 100
_LIBRDKAFKA_LINGER_MS = 5
_PACKAGES = ("kafka-python", "crc32c", "confluent-kafka")


class _Shots:
    """`n` shots that take no time to make: the same pictures over and over."""

    description = "rendered plates, over and over"

    def __init__(self, shots: Sequence[Shot], n: int) -> None:
        self._shots, self._n = shots, n

    def __iter__(self) -> Iterator[Shot]:
        yield from itertools.islice(itertools.cycle(self._shots), self._n)


def run(frames: int = 4000, n_rounds: int = 5, size_px: int = 256) -> BenchResult:
    """Measure both producers `n_rounds` times on `frames` PNG frames of `size_px`, on an embedded broker."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder)) as kafka:
        return compare(kafka.url, Path(folder), frames, n_rounds, size_px)


def compare(url: str, folder: Path, n_frames: int, n_rounds: int, size_px: int) -> BenchResult:
    """Measure on the broker at `url`, spooling (if it came to that) in `folder`; the medians of the rounds."""
    plates = simulator("plate", SimulatorSettings(size_px=size_px))
    pictures = [shot for shot in itertools.islice(plates, _N_PICTURES) if isinstance(shot, Shot)]
    shots = _Shots(pictures, n_frames)
    ours: list[float] = []
    theirs: list[float] = []
    run_id = boot_epoch(time.time_ns() // 1_000_000)
    for number in range(n_rounds + 1):  # the first round warms the broker up and is not counted
        our_fps = _ours(url, folder, f"{run_id}-ours-{number}.", shots)
        their_fps = _librdkafka(url, folder, f"{run_id}-theirs-{number}.", shots)
        if number:
            ours.append(our_fps)
            theirs.append(their_fps)
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return BenchResult(
        name=NAME,
        ours=statistics.median(ours),
        baseline=statistics.median(theirs),
        ratio=ratio,
        figures={
            "unit": "frames/s acknowledged, median of rounds; ratio: median of the rounds' ratios",
            "baseline_is": "confluent-kafka (librdkafka): same batch size, acks, headers; its default linger, 5 ms",
            "n_frames": n_frames,
            "n_rounds": n_rounds,
            "frame_bytes_mean": statistics.mean(len(shot.picture) for shot in pictures),
            "ours_rounds": ours,
            "baseline_rounds": theirs,
        },
        machine=machine(_PACKAGES),
    )


def _topic(url: str, folder: Path, prefix: str) -> str:
    settings = Settings(
        kafka_url=url, state_dir=folder, topic_prefix=prefix, partitions=1, replication_factor=1, min_insync_replicas=1
    )
    topics = Topics(prefix)
    ensure_topics(settings, [spec for spec in topics.specs(1) if spec.name == topics.frames])
    return topics.frames


def _who() -> CameraSettings:
    return CameraSettings(STATION, boot_epoch(time.time_ns() // 1_000_000), "plate")


def _ours(url: str, folder: Path, prefix: str, shots: _Shots) -> float:
    """Frames per second of `run_camera`, from the first shot to the last acknowledgement, connected beforehand."""
    topic = _topic(url, folder, prefix)
    producer = KafkaFrameProducer({"bootstrap_servers": url}, topic, DEFAULT_LINGER_MS)
    publisher = FramePublisher(lambda: producer, Spool(folder / prefix), ClaimCheck(None), waits=True)
    shutter = Shutter(Pacer(None), threading.Event())
    started_s = time.perf_counter()
    report = run_camera(shots, _who(), publisher, shutter, notice=_complain, show=lambda _progress: None)
    seconds = time.perf_counter() - started_s
    return report.n_acknowledged / seconds


def _librdkafka(url: str, folder: Path, prefix: str, shots: _Shots) -> float:
    """The same with confluent-kafka's producer, waiting for room when its queue is full."""
    try:
        from confluent_kafka import KafkaError, Message, Producer
    except ImportError as exc:
        raise MissingExtra("confluent-kafka", "test", "the camera benchmark's baseline") from exc

    topic, n_acknowledged = _topic(url, folder, prefix), 0

    def delivered(error: KafkaError | None, _message: Message) -> None:
        nonlocal n_acknowledged
        n_acknowledged += error is None

    producer = Producer(
        {
            "bootstrap.servers": url,
            "acks": "all",
            "enable.idempotence": True,
            "batch.size": BATCH_BYTES,
            "linger.ms": _LIBRDKAFKA_LINGER_MS,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "queue.buffering.max.messages": 1024,
        }
    )
    producer.list_topics(topic, timeout=10)
    camera = Camera(_who())
    started_s = time.perf_counter()
    for shot in shots:
        record = record_of(camera.capture(shot, datetime.now(UTC)))
        while True:
            try:
                producer.produce(topic, record.value, record.key, headers=list(record.headers), on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    producer.flush()
    return n_acknowledged / (time.perf_counter() - started_s)


def _complain(sentence: str) -> None:
    raise SightlineError(f"the benchmark's camera had trouble, so its figures mean nothing: {sentence}")

"""Frames per second through camera, Kafka, Faust, engine and Postgres, beside the bare engine loop.

Both run the same frames (plates at 256x256, PNG) on the same cores in the same run, the bare loop once before and
once after the line. `ours` and `baseline` are
frames/s; the aim is a ratio of 0.85. Added latency is the time from capture to the verdict on its topic less
what decoding, aligning and localising took. Memory is the resident size of all worker processes together.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import psycopg
from kafka import KafkaConsumer, KafkaProducer

from agents.activation import Wishes, activate
from agents.database import connect
from benchmarks.result import BenchResult, machine
from deploy.demo_products import train_plate
from deploy.engine_cache import engine_cache
from deploy.line import Line
from deploy.settings import Settings, kafka_python_options, load_settings
from pipeline.inspection import InspectionRequest, Inspector, RecipeRules
from pipeline.plate import PRODUCT, SimulatedLine, encode_png
from schemas.frame import Frame, encode_headers
from schemas.store import ContentStore
from schemas.topics import Topics
from schemas.verdict import decode_verdict

STATIONS = tuple(f"bench/line1/cam{index}" for index in range(4))
N_WARM_UP = 200
N_LATENCY = 400
_N_RENDERED = 200


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds the line adds to the engine's own work, at a steady rate."""

    rate_fps: float
    p50_ms: float
    p95_ms: float


@dataclass(slots=True)
class MemoryLog(threading.Thread):
    """Resident bytes of the worker processes and their children, once a second."""

    pids: Sequence[int]
    samples: list[int] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread.__init__(self, daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        while not self.stopping.wait(1.0):
            self.samples.append(sum(_resident(pid) for pid in self.pids))


def run(frames: int = 2000) -> BenchResult:
    """Measure. Args: frames: how many are timed; 20000 shows whether memory stays flat."""
    cores = len(os.sched_getaffinity(0))
    pictures = _pictures()
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        bundle = Path(folder) / "plate.bundle"
        train_plate(bundle)
        n_bare = min(max(frames // 2, 200), 1000)
        bare_fps = [_bare_loop_fps(bundle, pictures, cores, n_bare)]
        settings = load_settings(
            {
                "state_dir": Path(folder) / "state",
                "kafka_url": "",
                "postgres_url": "",
                "engine_processes": cores,
                "log_level": "WARNING",
            }
        )
        line = Line(settings, lambda sentence: None)
        try:
            line.start(lambda in_force: _activate(in_force, bundle))
            ours_fps, memory, cpu_ms = _line_fps(line, pictures, frames)
            latency = _latency(line, pictures, min(0.3 * ours_fps, 20.0))
        finally:
            line.stop()
        bare_fps.append(_bare_loop_fps(bundle, pictures, cores, n_bare))
    baseline_fps = sum(bare_fps) / 2
    return BenchResult(
        name="line",
        ours=ours_fps,
        baseline=baseline_fps,
        ratio=ours_fps / baseline_fps,
        figures={
            "unit": "frames/s",
            "n_frames": frames,
            "engine_processes": cores,
            "bare_fps_before_and_after": bare_fps,
            "added_latency_p50_ms": latency.p50_ms,
            "added_latency_p95_ms": latency.p95_ms,
            "latency_at_fps": latency.rate_fps,
            "workers_rss_mb_at_quarter": memory[0] / 2**20,
            "workers_rss_mb_at_end": memory[1] / 2**20,
            "cpu_ms_per_frame": cpu_ms,
            "rss_growth_mb_per_1000_frames": (memory[1] - memory[0]) / 2**20 / (0.75 * frames / 1000),
        },
        machine=machine(),
    )


def _pictures() -> list[bytes]:
    line = SimulatedLine(defect_rate=0.01)
    return [encode_png(line.unit(index).picture) for index in range(_N_RENDERED)]


def _activate(settings: Settings, bundle: Path) -> None:
    store = ContentStore(settings.bundles_url)
    with connect(settings.postgres_url) as connection, connection.transaction():
        for station in STATIONS:
            activate(
                connection, store, bundle.read_bytes(), station=station, product=PRODUCT, wishes=Wishes(), name="bench"
            )


def _bare_loop_fps(bundle: Path, pictures: Sequence[bytes], n_processes: int, n_frames: int) -> float:
    """Decode, align, localise, decide in `n_processes` bare loops, nothing else; frames/s of all together."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(n_processes + 1)
    share = n_frames // n_processes
    loops = [context.Process(target=_bare_loop, args=(bundle, pictures, share, start)) for _ in range(n_processes)]
    for loop in loops:
        loop.start()
    start.wait(120)
    began_s = time.perf_counter()
    for loop in loops:
        loop.join()
    return share * n_processes / (time.perf_counter() - began_s)


def _bare_loop(bundle: Path, pictures: Sequence[bytes], n_frames: int, start: threading.Barrier) -> None:
    from engines.bundle import Bundle

    opened = Bundle.open(bundle)
    inspector = Inspector(opened, backend="auto", n_threads=1, cache_dir=engine_cache())
    rules = RecipeRules.of_manifest(opened.manifest)
    for picture in pictures[:10]:
        inspector.inspect([InspectionRequest(picture, "image/png")], rules)
    start.wait(120)
    for index in range(n_frames):
        inspector.inspect([InspectionRequest(pictures[index % len(pictures)], "image/png")], rules)


def _line_fps(line: Line, pictures: Sequence[bytes], n_frames: int) -> tuple[float, tuple[int, int], dict[str, float]]:
    """Frames/s from the first send to the last row.

    Returns also resident bytes at a quarter of the run and at its end, and CPU milliseconds a frame by process
    (an inspect worker with its engines; `camera` is this process, which also counts the rows).
    """
    producer = _producer(line.settings)
    topics = Topics(line.settings.topic_prefix)
    _publish(producer, topics.frames, pictures, N_WARM_UP, "warm")
    _wait_rows(line.settings.postgres_url, N_WARM_UP)
    address = line.address().pids
    memory = MemoryLog([pid for name, pid in address.items() if name not in ("kafka", "postgres")])
    memory.start()
    before = {name: _cpu_s(pid) for name, pid in {**address, "camera": os.getpid()}.items()}
    began_s = time.perf_counter()
    _publish(producer, topics.frames, pictures, n_frames, "timed")
    _wait_rows(line.settings.postgres_url, N_WARM_UP + n_frames)
    seconds = time.perf_counter() - began_s
    after = {name: _cpu_s(pid) for name, pid in {**address, "camera": os.getpid()}.items()}
    cpu_ms = {name: 1000 * (after[name] - before[name]) / n_frames for name in before}
    memory.stopping.set()
    memory.join()
    producer.close()
    samples = memory.samples or [0]
    return n_frames / seconds, (samples[len(samples) // 4], samples[-1]), cpu_ms


def _latency(line: Line, pictures: Sequence[bytes], rate_fps: float) -> Latency:
    """Send `N_LATENCY` frames at a steady rate and read the verdicts as they appear."""
    topics = Topics(line.settings.topic_prefix)
    consumer = KafkaConsumer(topics.verdicts, auto_offset_reset="latest", **kafka_python_options(line.settings))
    consumer.poll(timeout_ms=2000)
    producer = _producer(line.settings)
    sender = threading.Thread(
        target=_publish, args=(producer, topics.frames, pictures, N_LATENCY, "latency", rate_fps), daemon=True
    )
    sender.start()
    added_ms: list[float] = []
    deadline_s = time.monotonic() + N_LATENCY / rate_fps + 30
    while len(added_ms) < N_LATENCY and time.monotonic() < deadline_s:
        for records in consumer.poll(timeout_ms=100).values():
            for record in records:
                verdict = decode_verdict(record.value)
                if not verdict.frame_id.startswith("latency"):
                    continue
                timing = verdict.timing_ms
                engine_ms = (timing.decode or 0) + (timing.align or 0) + (timing.localise or 0)
                added_ms.append(record.timestamp - verdict.captured_at.timestamp() * 1000 - engine_ms)
    sender.join()
    producer.close()
    consumer.close()
    return Latency(rate_fps, float(np.percentile(added_ms, 50)), float(np.percentile(added_ms, 95)))


def _producer(settings: Settings) -> KafkaProducer:
    return KafkaProducer(
        acks="all", batch_size=2**20, linger_ms=0, max_request_size=10 * 2**20, **kafka_python_options(settings)
    )


def _publish(
    producer: KafkaProducer, topic: str, pictures: Sequence[bytes], n: int, run_name: str, rate_fps: float = 0.0
) -> None:
    began_s = time.monotonic()
    for index in range(n):
        if rate_fps:
            time.sleep(max(began_s + index / rate_fps - time.monotonic(), 0.0))
        station = STATIONS[index % len(STATIONS)]
        picture = pictures[index % len(pictures)]
        frame = Frame(
            f"{run_name}-{index}",
            station,
            "image/png",
            datetime.now(UTC),
            picture,
            product=PRODUCT,
            epoch=run_name,
            sequence=index // len(STATIONS),
        )
        producer.send(topic, key=station.encode(), value=picture, headers=encode_headers(frame))
    producer.flush()


def _wait_rows(postgres_url: str, n: int) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        while True:
            row = connection.execute("SELECT count(*) FROM sightline.frame").fetchone()
            if row is not None and row[0] >= n:
                return
            time.sleep(0.1)


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process and its living children so far; the camera's children are the line and do not count."""
    try:
        process = psutil.Process(pid)
        family = [process] if pid == os.getpid() else [process, *process.children(recursive=True)]
        return sum(each.cpu_times().user + each.cpu_times().system for each in family)
    except psutil.Error:
        return 0.0


def _resident(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0

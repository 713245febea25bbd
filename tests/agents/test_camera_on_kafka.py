"""The camera against a real broker: killed, frozen, too small, too late. Nothing lost, nothing out of order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from agents.backlog import DeliveryLimits
from agents.camera import CameraReport, CameraSettings, Pacer, Shutter, boot_epoch, run_camera
from agents.claim_check import ClaimCheck
from agents.frame_producer import KafkaFrameProducer
from agents.frame_publisher import FramePublisher
from agents.frame_sources import Shot
from agents.spool import Spool
from agents.topic_admin import ensure_topics
from deploy.embedded.kafka import EmbeddedKafka
from deploy.settings import Settings
from schemas.errors import TransientError
from schemas.frame import Frame, Origin, decode_frame
from schemas.topics import Topics

STATION = "lab/line1/cam0"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 120


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of this module alone, which its tests may kill."""
    with EmbeddedKafka(tmp_path_factory.mktemp("broker")) as kafka:
        yield kafka


def with_topics(url: str, prefix: str, state_dir: Path) -> Settings:
    settings = Settings(
        kafka_url=url,
        state_dir=state_dir,
        topic_prefix=prefix,
        partitions=4,
        replication_factor=1,
        min_insync_replicas=1,
    )
    ensure_topics(settings, Topics(prefix).specs(4))
    return settings


class Shots:
    """The same picture for ever, each time of another unit."""

    description = "shots of a test"

    def __init__(self, n: int, picture: bytes = PICTURE) -> None:
        self._n, self._picture = n, picture

    def __iter__(self) -> Iterator[Shot]:
        for index in range(self._n):
            yield Shot(self._picture, "image/png", f"unit{index}")


def frames_in(url: str, topic: str) -> list[Frame]:
    """Every frame of `topic`, partition by partition, in order."""
    consumer = KafkaConsumer(bootstrap_servers=url, auto_offset_reset="earliest", consumer_timeout_ms=20_000)
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    consumer.assign(partitions)
    n_due = sum(consumer.end_offsets(partitions).values())
    frames = []
    while len(frames) < n_due:
        message = next(consumer)
        origin = Origin(topic, message.partition, message.offset, message.timestamp)
        frames.append(decode_frame(message.key, message.value, message.headers, origin))
    consumer.close()
    return frames


def run(
    settings: Settings,
    spool: Path,
    shots: Shots,
    fps: float | None = None,
    *,
    said: list[str] | None = None,
    limits: DeliveryLimits | None = None,
) -> CameraReport:
    topic = Topics(settings.topic_prefix).frames
    said = [] if said is None else said
    publisher = FramePublisher(
        lambda: KafkaFrameProducer({"bootstrap_servers": settings.kafka_url}, topic),
        Spool(spool),
        ClaimCheck(None),
        limits=limits or DeliveryLimits(patience_s=1.0),
        waits=fps is None,
        notice=said.append,
    )
    who = CameraSettings(STATION, boot_epoch(time.time_ns() // 1_000_000), "plate")
    shutter = Shutter(Pacer(fps), threading.Event(), drain_s=90.0)
    return run_camera(shots, who, publisher, shutter, notice=said.append, show=lambda _progress: None)


def assert_all_there_in_order(report: CameraReport, frames: list[Frame], n: int) -> None:
    mine = [frame for frame in frames if frame.epoch == report.epoch]
    first_seen = list(dict.fromkeys(frame.frame_id for frame in mine))
    assert report.n_acknowledged == len(first_seen) == n
    by_id = {frame.frame_id: frame.sequence for frame in mine}
    assert [by_id[frame_id] for frame_id in first_seen] == list(range(n))


def test_frames_are_published_as_the_contract_says_and_in_order(kafka_url: str, topic_prefix: str, tmp_path: Path):
    settings = with_topics(kafka_url, topic_prefix, tmp_path)
    report = run(settings, tmp_path / "spool", Shots(300))
    frames = frames_in(kafka_url, Topics(topic_prefix).frames)
    assert len(frames) == 300
    assert_all_there_in_order(report, frames, 300)
    assert {frame.picture for frame in frames} == {PICTURE}
    assert (frames[5].unit_id, frames[5].product, frames[5].station) == ("unit5", "plate", STATION)
    assert {frame.origin.partition for frame in frames if frame.origin} == {frames[0].origin.partition}


def test_a_broker_killed_in_the_middle_of_500_frames_loses_none_and_keeps_their_order(
    broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path
):
    settings = with_topics(broker.url, topic_prefix, tmp_path)

    def kill_and_restart() -> None:
        time.sleep(1.5)
        broker.send_signal(signal.SIGKILL)
        broker.wait()
        time.sleep(3.0)
        broker.restart_if_dead()

    chaos, said = threading.Thread(target=kill_and_restart), []
    chaos.start()
    report = run(settings, tmp_path / "spool", Shots(500), fps=100.0, said=said)
    chaos.join()
    assert (report.n_captured, report.n_refused, report.n_spooled) == (500, 0, 0)
    assert_all_there_in_order(report, frames_in(broker.url, Topics(topic_prefix).frames), 500)
    assert any("frames go to the spool" in sentence for sentence in said)
    assert said[-1].startswith("the broker is back; sending ")


def test_a_frozen_broker_gets_every_frame_once_when_it_thaws(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path):
    settings = with_topics(broker.url, topic_prefix, tmp_path)
    broker.send_signal(signal.SIGSTOP)
    thaw = threading.Timer(4.0, broker.send_signal, (signal.SIGCONT,))
    thaw.start()
    report = run(settings, tmp_path / "spool", Shots(200), fps=100.0)
    thaw.join()
    frames = frames_in(broker.url, Topics(topic_prefix).frames)
    assert len(frames) == 200
    assert_all_there_in_order(report, frames, 200)


def test_a_camera_killed_while_the_broker_is_away_sends_its_spool_at_the_next_start(
    broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path
):
    with_topics(broker.url, topic_prefix, tmp_path)
    environment = {**os.environ, "SIGHTLINE_TOPIC_PREFIX": topic_prefix}
    command = [sys.executable, "-m", "deploy.cli", "camera", "--source", f"/{STATION}", "--simulate", "plate"]
    command += ["--size-px", "64", "--kafka", broker.url, "--state", str(tmp_path), "--json"]
    broker.send_signal(signal.SIGKILL)
    broker.wait()
    camera = subprocess.Popen([*command, "--fps", "100"], env=environment, stderr=subprocess.DEVNULL)
    spool = tmp_path / "spool" / STATION
    deadline = time.monotonic() + 30
    while len(list(spool.glob("*.frame"))) < 50 and time.monotonic() < deadline:
        time.sleep(0.05)
    camera.kill()
    camera.wait()
    n_spooled = len(list(spool.glob("*.frame")))
    assert n_spooled >= 50
    broker.restart_if_dead()
    again = subprocess.run(
        [*command, "--count", "20"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert again.returncode == 0, again.stderr
    summary = json.loads(again.stdout)
    assert (summary["n_resumed"], summary["n_acknowledged"]) == (n_spooled, n_spooled + 20)
    frames = frames_in(broker.url, Topics(topic_prefix).frames)
    assert [frame.sequence for frame in frames] == [*range(n_spooled), *range(20)]
    assert frames[0].epoch < frames[-1].epoch
    assert not list(spool.glob("*.frame"))


def test_sigterm_ends_a_camera_cleanly_with_a_summary(kafka_url: str, topic_prefix: str, tmp_path: Path):
    with_topics(kafka_url, topic_prefix, tmp_path)
    command = [sys.executable, "-m", "deploy.cli", "camera", "--source", f"/{STATION}", "--simulate", "plate"]
    command += ["--size-px", "64", "--fps", "50", "--kafka", kafka_url, "--state", str(tmp_path), "--json"]
    environment = {**os.environ, "SIGHTLINE_TOPIC_PREFIX": topic_prefix}
    pipe = subprocess.PIPE
    camera = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
    time.sleep(4)
    camera.send_signal(signal.SIGTERM)
    stdout, stderr = camera.communicate(timeout=20)
    assert camera.returncode == 0, stderr
    summary = json.loads(stdout)
    assert summary["n_captured"] == summary["n_acknowledged"] > 0
    assert "frames captured" in stderr
    assert len(frames_in(kafka_url, Topics(topic_prefix).frames)) == summary["n_acknowledged"]


def test_a_topic_that_takes_less_than_the_contract_refuses_the_large_frame_alone(kafka_url: str, tmp_path: Path):
    prefix = f"{tmp_path.name}."
    admin = KafkaAdminClient(bootstrap_servers=kafka_url)
    admin.create_topics([NewTopic(f"{prefix}frames", 1, 1, topic_configs={"max.message.bytes": "200000"})])
    admin.close()

    class Mixed(Shots):
        def __iter__(self) -> Iterator[Shot]:
            for index in range(10):
                yield Shot(PICTURE * 10 if index == 4 else PICTURE, "image/png", f"unit{index}")

    said: list[str] = []
    settings = Settings(kafka_url=kafka_url, state_dir=tmp_path, topic_prefix=prefix)
    report = run(settings, tmp_path / "spool", Mixed(10), said=said)
    assert (report.n_acknowledged, report.n_refused) == (9, 1)
    assert any("raise the topic's max.message.bytes" in sentence for sentence in said)
    arrived = [frame.sequence for frame in frames_in(kafka_url, f"{prefix}frames")]
    assert list(dict.fromkeys(arrived)) == [0, 1, 2, 3, 5, 6, 7, 8, 9]


def test_a_missing_topic_is_named_and_waited_for(kafka_url: str, topic_prefix: str):
    with pytest.raises(TransientError, match=r"has no topic .*frames.* yet: start the line"):
        KafkaFrameProducer({"bootstrap_servers": kafka_url}, Topics(topic_prefix).frames)


def test_an_abandoned_producer_sends_nothing_more(kafka_url: str, topic_prefix: str, tmp_path: Path):
    """The private call it rests on still does what `KafkaFrameProducer.abandon` needs (kafka-python 3.0)."""
    with_topics(kafka_url, topic_prefix, tmp_path)
    producer = KafkaProducer(bootstrap_servers=kafka_url, acks="all", linger_ms=60_000, delivery_timeout_ms=2**31 - 1)
    futures = [producer.send(Topics(topic_prefix).frames, value=b"x", key=b"k") for _ in range(5)]
    sender = producer._sender
    sender.force_close()
    sender.join(5)
    assert not sender.is_alive()
    assert all(future.failed() for future in futures)
    producer.close(timeout=0)

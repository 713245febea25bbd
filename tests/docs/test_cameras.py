"""What docs/cameras.md tells people to type reaches the frames topic as frames, in the right partition."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from agents.topic_admin import ensure_topics
from deploy.settings import Settings
from schemas.frame import Frame, Origin, decode_frame
from schemas.store import redeem_claim
from schemas.topics import Topics
from tests.docs_blocks import block

DOCUMENT = "docs/cameras.md"


@pytest.fixture
def topics(kafka_url: str, topic_prefix: str, tmp_path: Path) -> Topics:
    settings = Settings(
        kafka_url=kafka_url, state_dir=tmp_path, topic_prefix=topic_prefix, replication_factor=1, min_insync_replicas=1
    )
    ensure_topics(settings, Topics(topic_prefix).specs(4))
    return Topics(topic_prefix)


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    cv2.imwrite(str(tmp_path / "picture.png"), np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
    return (tmp_path / "picture.png").read_bytes()


def ran(command: list[str], kafka_url: str, folder: Path) -> None:
    environment = {**os.environ, "KAFKA": kafka_url, "CLAIMS": str(folder / "claims")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def frames_of(kafka_url: str, topic: str) -> list[Frame]:
    consumer = KafkaConsumer(bootstrap_servers=kafka_url, auto_offset_reset="earliest", consumer_timeout_ms=20_000)
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    consumer.assign(partitions)
    n_due = sum(consumer.end_offsets(partitions).values())
    messages = [next(consumer) for _ in range(n_due)]
    consumer.close()
    return [
        decode_frame(m.key, m.value, m.headers, Origin(topic, m.partition, m.offset, m.timestamp)) for m in messages
    ]


def partition_of_our_own_camera(kafka_url: str, topic: str) -> int:
    producer = KafkaProducer(bootstrap_servers=kafka_url)
    producer.partitions_for(topic)
    partition = producer._partition(topic, None, None, None, b"lab/line1/cam0", None)
    producer.close()
    return int(partition)


def in_topic(text: str, topics: Topics) -> str:
    assert "sightline.frames" in text
    return text.replace("sightline.frames", topics.frames)


def test_the_kcat_line_publishes_a_frame(kafka_url: str, topics: Topics, picture: bytes, tmp_path: Path):
    if shutil.which("kcat") is None:
        pytest.skip("kcat is not on the PATH: apt-get install kcat")
    ran(["sh", "-c", in_topic(block(DOCUMENT, "kcat"), topics)], kafka_url, tmp_path)
    (frame,) = frames_of(kafka_url, topics.frames)
    assert (frame.station, frame.product, frame.unit_id) == ("lab/line1/cam0", "plate", "SN-000123")
    assert (frame.epoch, frame.sequence, frame.picture) == ("boot7", 123, picture)
    assert frame.origin is not None
    assert frame.origin.partition == partition_of_our_own_camera(kafka_url, topics.frames)


def test_the_confluent_kafka_program_publishes_frames(kafka_url: str, topics: Topics, picture: bytes, tmp_path: Path):
    ran([sys.executable, "-c", in_topic(block(DOCUMENT, "confluent-kafka"), topics)], kafka_url, tmp_path)
    frames = frames_of(kafka_url, topics.frames)
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    assert {frame.picture for frame in frames} == {picture}
    assert {frame.origin.partition for frame in frames if frame.origin} == {
        partition_of_our_own_camera(kafka_url, topics.frames)
    }


def test_the_claim_check_program_leaves_a_picture_the_workers_can_redeem(
    kafka_url: str, topics: Topics, picture: bytes, tmp_path: Path
):
    (tmp_path / "claims").mkdir()
    ran([sys.executable, "-c", in_topic(block(DOCUMENT, "claim check"), topics)], kafka_url, tmp_path)
    (frame,) = frames_of(kafka_url, topics.frames)
    assert frame.claim is not None
    assert frame.picture == b""
    root = f"file://{tmp_path}/claims"
    assert redeem_claim(frame.claim.ref, frame.claim.sha256, (root,), 10**6) == picture


def test_the_header_table_names_every_header_a_frame_may_carry():
    root = Path(__file__).parents[2]
    names = set(re.findall(r'"(ce_[a-z0-9]+)"', (root / "schemas" / "frame.py").read_text()))
    assert len(names) >= 13
    assert names <= set(re.findall(r"`(ce_[a-z0-9]+)`", (root / DOCUMENT).read_text()))

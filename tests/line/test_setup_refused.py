"""A wrong set-up: exit code 2 before anything is consumed, and a message that names the setting and the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from agents.topic_admin import ensure_topics
from deploy.settings import Settings
from engines.bundle import Bundle
from schemas.topics import Topics
from tests.line.conftest import put_in_force
from tests.line.feed import Feed
from tests.line.variants import alter, stored_path

STATION = "refused/line1/cam0"


def run_worker(settings: Settings, **changed: str) -> tuple[int, str]:
    """`sightline worker inspect` until it ends by itself; its exit code and what it said on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "worker", "inspect"],
        env={**os.environ, **settings.to_environment(), **{f"SIGHTLINE_{k.upper()}": v for k, v in changed.items()}},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    return done.returncode, done.stderr


def consumed(settings: Settings) -> list[int]:
    """Offsets the inspect workers of this line committed, one a partition that has any."""
    topics = Topics(settings.topic_prefix)
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka_url, group_id=f"{settings.topic_prefix}inspect", enable_auto_commit=False
    )
    try:
        partitions = [TopicPartition(topics.frames, number) for number in range(settings.partitions)]
        offsets = [consumer.committed(partition) for partition in partitions]
        return [offset for offset in offsets if offset]
    finally:
        consumer.close()


def make_topics(settings: Settings, partitions: int | None = None) -> None:
    """The line's topics, and one frame on them."""
    ensure_topics(settings, Topics(settings.topic_prefix).specs(partitions or settings.partitions))
    feed = Feed(settings.kafka_url, f"{settings.topic_prefix}frames", STATION)
    feed.send(0)
    feed.finish()


def test_a_missing_topic_is_named_with_how_to_create_it(settings: Settings) -> None:
    make_topics(settings)
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_url)
    admin.delete_topics([f"{settings.topic_prefix}dead-letters"])
    admin.close()
    code, said = run_worker(settings)
    assert code == 2
    assert f"topic {settings.topic_prefix}dead-letters does not exist" in said
    assert "`sightline up` creates it" in said
    assert consumed(settings) == []


def test_a_topic_with_too_few_partitions_is_named_with_the_remedy(settings: Settings) -> None:
    make_topics(settings, partitions=1)
    code, said = run_worker(settings)
    assert code == 2
    assert f"topic {settings.topic_prefix}frames has 1 partitions, 2 are wanted: set partitions to 1" in said
    assert consumed(settings) == []


def test_a_recipe_whose_bundle_was_altered_in_the_store_is_refused_at_start(
    settings: Settings, plate_bundle: Path
) -> None:
    make_topics(settings)
    bundles_dir = settings.state_dir / "bundles"
    put_in_force(settings.postgres_url, bundles_dir, plate_bundle, STATION)
    alter(stored_path(bundles_dir, plate_bundle))
    code, said = run_worker(settings)
    assert code == 2
    assert "a recipe in force names a bundle that cannot be used" in said
    assert Bundle.open(plate_bundle).sha256 in said
    assert "it was altered; delete it and store it again" in said
    assert consumed(settings) == []


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("partitions", "many", "1 to 512"),
        ("engine_backend", "abacus", "auto (measured at start), onnxruntime, openvino or tensorrt"),
        ("postgres_url", "mysql://db/x", "postgresql://"),
        ("stream_bufer_frames", "8", "stream_buffer_frames"),
    ],
)
def test_a_bad_setting_is_named_with_what_it_may_be(settings: Settings, name: str, value: str, remedy: str) -> None:
    code, said = run_worker(settings, **{name: value})
    assert code == 2
    assert name in said.lower()
    assert remedy in said


def test_up_ends_with_2_when_a_worker_refuses_its_set_up(settings: Settings, plate_bundle: Path) -> None:
    bundles_dir = settings.state_dir / "bundles"
    put_in_force(settings.postgres_url, bundles_dir, plate_bundle, STATION)
    alter(stored_path(bundles_dir, plate_bundle))
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "up"],
        env={**os.environ, **settings.to_environment()},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "inspect-0 refuses its set-up" in done.stderr
    assert "it was altered; delete it and store it again" in done.stderr

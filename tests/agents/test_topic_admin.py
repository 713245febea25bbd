"""Topics on the real broker."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from agents.topic_admin import check_topics, ensure_topics
from deploy.settings import Settings
from schemas.errors import SetupError, TransientError
from schemas.topics import Topics, TopicSpec


@pytest.fixture
def specs(settings: Settings) -> tuple[TopicSpec, ...]:
    return Topics(settings.topic_prefix).specs(settings.partitions)


def test_every_topic_is_created_once_with_its_size_and_retention(
    settings: Settings, specs: tuple[TopicSpec, ...]
) -> None:
    assert set(ensure_topics(settings, specs)) == {spec.name for spec in specs}
    assert ensure_topics(settings, specs) == ()
    check_topics(settings, specs)
    admin = KafkaAdminClient(**settings.client_options())
    configs = admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, specs[0].name)], config_filter="modified"
    )["topic"][specs[0].name]
    admin.close()
    assert int(configs["retention.ms"]["value"]) == specs[0].retention_ms
    assert configs["message.timestamp.type"]["value"] == "LogAppendTime"


def test_a_missing_topic_is_named_with_the_way_to_make_it(settings: Settings, specs: tuple[TopicSpec, ...]) -> None:
    ensure_topics(settings, specs[1:])
    with pytest.raises(SetupError, match=r"frames does not exist: .*2 partitions and max\.message\.bytes=10485760"):
        check_topics(settings, specs)


def test_a_topic_with_too_few_partitions_is_refused(settings: Settings, specs: tuple[TopicSpec, ...]) -> None:
    ensure_topics(settings, specs)
    wider = Topics(settings.topic_prefix).specs(settings.partitions + 1)
    with pytest.raises(SetupError, match=r"frames has 2 partitions, 3 are wanted: set partitions to 2"):
        check_topics(settings, wider)
    with pytest.raises(SetupError, match="3 are wanted"):
        ensure_topics(settings, wider)


def test_a_topic_without_room_for_the_largest_message_is_refused(
    settings: Settings, specs: tuple[TopicSpec, ...]
) -> None:
    ensure_topics(settings, tuple(replace(spec, max_message_bytes=1_000_000) for spec in specs))
    with pytest.raises(SetupError, match=r"frames has max\.message\.bytes=1000000, 10485760 is wanted: run"):
        check_topics(settings, specs)


def test_a_topic_larger_than_wanted_will_do(settings: Settings, specs: tuple[TopicSpec, ...]) -> None:
    ensure_topics(settings, tuple(replace(spec, partitions=spec.partitions + 2) for spec in specs))
    check_topics(settings, specs)


def test_more_copies_than_brokers_is_refused_with_the_setting_to_change(
    settings: Settings, specs: tuple[TopicSpec, ...]
) -> None:
    greedy = settings.model_copy(update={"replication_factor": 3, "min_insync_replicas": 2})
    with pytest.raises(SetupError, match="set replication_factor = 1"):
        ensure_topics(greedy, specs)


def test_a_broker_that_is_away_is_not_a_fault_of_the_set_up() -> None:
    away = Settings(kafka_url="127.0.0.1:9")
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9: Connection refused"):
        check_topics(away, Topics().specs(1))

"""The embedded broker."""

from __future__ import annotations

from typing import ClassVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from deploy.embedded.kafka import EmbeddedKafka
from deploy.embedded.service import EmbeddedService
from tests.deploy.embedded.service_contract import ServiceContract

_TOPIC = "words"


class TestEmbeddedKafka(ServiceContract):
    kind: ClassVar[type[EmbeddedService]] = EmbeddedKafka

    def put(self, url: str, word: str) -> None:
        admin = KafkaAdminClient(bootstrap_servers=url)
        if _TOPIC not in admin.list_topics():
            admin.create_topics({_TOPIC: {"num_partitions": 1, "replication_factor": 1}})
        admin.close()
        producer = KafkaProducer(bootstrap_servers=url, acks="all")
        producer.send(_TOPIC, word.encode()).get(timeout=30)
        producer.close()

    def get(self, url: str) -> list[str]:
        consumer = KafkaConsumer(
            _TOPIC, bootstrap_servers=url, auto_offset_reset="earliest", group_id=None, consumer_timeout_ms=2000
        )
        words = [record.value.decode() for record in consumer]
        consumer.close()
        return words

    def test_topics_are_never_created_by_asking_for_them(self, kafka_url: str) -> None:
        admin = KafkaAdminClient(bootstrap_servers=kafka_url)
        admin.describe_topics(["never-created"])
        assert "never-created" not in admin.list_topics()
        admin.close()

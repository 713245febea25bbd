"""What a single process that never fails would have made of the aligned frames on the topic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import psycopg
from kafka import KafkaConsumer, TopicPartition

from agents.golden import Golden, GoldenReferences
from agents.records import load_root_cause
from pipeline.root_cause import RootCause
from schemas.alert import Alert
from schemas.aligned import AlignedFrame, decode_aligned

Key = tuple[str, str]


@dataclass
class Oracle:
    """States by station and product, and every alert record in order."""

    golden: GoldenReferences
    states: dict[Key, RootCause] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)

    def take(self, frame: AlignedFrame) -> None:
        """One frame more."""
        key, references = (frame.header.station, frame.header.product), self._references(frame)
        if key not in self.states:
            self.states[key] = RootCause.start(frame, references.baseline, references.template, references.usual)
        self.alerts += self.states[key].update(frame, lambda png: "kept")

    def of_station(self, station: str) -> list[Alert]:
        """The alert records of one station."""
        return [alert for alert in self.alerts if alert.station == station]

    def saved_window_hash(self, postgres: str, key: Key) -> str:
        """The hash of the window a line saved for `key`."""
        with psycopg.connect(postgres) as connection:
            stored = load_root_cause(connection, *key)
        assert stored is not None, f"no window of {key} was saved"
        golden = self.golden.of_bundle(self.states[key].header.bundle_sha256)
        return RootCause.from_bytes(stored.state, stored.slots, golden.baseline, golden.template).window_hash

    def _references(self, frame: AlignedFrame) -> Golden:
        return self.golden.of_bundle(frame.header.bundle_sha256)


def whole_topic(kafka: str, topic: str) -> list[tuple[int, bytes, bytes]]:
    """(partition, key, value) of every record on `topic` now, in order within a partition."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, consumer_timeout_ms=1000)
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        ends = consumer.end_offsets(partitions)
        records: list[tuple[int, bytes, bytes]] = []
        for partition in partitions:
            consumer.assign([partition])
            consumer.seek_to_beginning(partition)
            while consumer.position(partition) < ends[partition]:
                for batch in consumer.poll(timeout_ms=1000).values():
                    records += [(record.partition, record.key, record.value) for record in batch]
        return records
    finally:
        consumer.close()


def replay(kafka: str, prefix: str, bundles_url: str, stations: Iterable[str]) -> Oracle:
    """Feed the aligned frames of `stations`, partition by partition, to one process."""
    oracle, keys = Oracle(GoldenReferences(bundles_url)), {station.encode() for station in stations}
    for _, key, value in whole_topic(kafka, f"{prefix}aligned"):
        if key in keys:
            oracle.take(decode_aligned(value))
    return oracle

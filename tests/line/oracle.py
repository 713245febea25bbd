"""What a single process that never fails would have made of the aligned frames on the topic."""

from __future__ import annotations

from dataclasses import dataclass, field

from kafka import KafkaConsumer, TopicPartition

from agents.golden import GoldenReferences
from agents.records import load_root_cause
from pipeline.root_cause import RootCause
from schemas.alert import Alert
from schemas.aligned import decode_aligned
from tests.line.line_process import LineProcess

Key = tuple[str, str]


@dataclass
class Oracle:
    """States by station and product, and every alert record in order."""

    states: dict[Key, RootCause] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)


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


def replay(line: LineProcess, prefix: str, bundles_url: str) -> Oracle:
    """Feed the aligned topic, partition by partition, to one process."""
    golden, oracle = GoldenReferences(bundles_url), Oracle()
    for _, _, value in whole_topic(line.kafka, f"{prefix}aligned"):
        frame = decode_aligned(value)
        key = (frame.header.station, frame.header.product)
        references = golden.of_bundle(frame.header.bundle_sha256)
        if key not in oracle.states:
            oracle.states[key] = RootCause.start(frame, references.baseline, references.template)
        oracle.alerts += oracle.states[key].update(frame, lambda png: "kept")
    return oracle


def saved_window_hash(line: LineProcess, key: Key, oracle_state: RootCause) -> str:
    """The hash of the window the line saved for `key`."""
    import psycopg

    with psycopg.connect(line.postgres) as connection:
        stored = load_root_cause(connection, *key)
    assert stored is not None
    state = RootCause.from_bytes(stored.state, stored.slots, oracle_state.baseline, oracle_state.template)
    return state.window_hash

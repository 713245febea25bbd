"""Delivery: nothing lost, nothing overtakes, nothing refused silently, whatever the broker does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.backlog import DeliveryLimits
from agents.frame_producer import FrameProducer
from agents.spool import Spool
from agents.unacknowledged import Unacknowledged
from schemas.errors import SetupError
from tests.agents.publisher_bench import PublisherBench, a_record, sequences, until


def test_frames_arrive_in_order_and_are_counted_when_acknowledged(bench: PublisherBench):
    publisher = bench.publisher()
    for sequence in range(50):
        publisher.publish(a_record(sequence))
    assert publisher.drain(5)
    assert sequences(bench.broker.log) == list(range(50))
    assert publisher.close().n_acknowledged == 50
    assert not list(bench.folder.glob("*.frame"))


def test_frames_that_nobody_acknowledged_are_not_counted(bench: PublisherBench):
    bench.broker.silent = True
    publisher = bench.publisher()
    for sequence in range(5):
        publisher.publish(a_record(sequence))
    assert not publisher.drain(0.1)
    state = publisher.close()
    assert (state.n_acknowledged, state.n_spooled) == (0, 5)


def test_a_broker_that_falls_silent_sends_frames_to_disk_and_gets_all_in_order_when_it_is_back(bench: PublisherBench):
    publisher = bench.publisher()
    publisher.publish(a_record(0))
    assert publisher.drain(5)
    bench.broker.silent = True
    for sequence in range(1, 4):
        publisher.publish(a_record(sequence))
    until(lambda: publisher.state.n_spooled == 3)
    for sequence in range(4, 30):
        publisher.publish(a_record(sequence))
    assert publisher.state.n_spooled == 29
    assert publisher.state.away is not None
    bench.broker.come_back()
    assert publisher.drain(5)
    assert sequences(bench.broker.log) == list(range(30))
    state = publisher.state
    assert (state.n_acknowledged, state.n_spooled, state.away, state.n_refused) == (30, 0, None, 0)
    assert [sentence.split(";")[0] for sentence in bench.said] == [
        "the broker has acknowledged nothing for 0 s",
        "the broker is back",
    ]


def test_a_broker_that_is_away_at_the_start_gets_everything_when_it_comes(bench: PublisherBench):
    bench.broker.down = True
    publisher = bench.publisher()
    until(lambda: publisher.state.away is not None)
    for sequence in range(10):
        publisher.publish(a_record(sequence))
    assert publisher.state.n_spooled == 10
    bench.broker.come_back()
    assert publisher.drain(10)
    assert sequences(bench.broker.log) == list(range(10))


def test_what_an_earlier_run_spooled_goes_first(bench: PublisherBench):
    bench.broker.down = True
    first = bench.publisher()
    until(lambda: first.state.away is not None)
    for sequence in range(5):
        first.publish(a_record(sequence))
    assert first.close().n_spooled == 5
    bench.broker.down = False
    second = bench.publisher()
    for sequence in range(5, 10):
        second.publish(a_record(sequence))
    assert second.drain(5)
    assert sequences(bench.broker.log) == list(range(10))
    assert second.state.n_resumed == 5


def test_a_producer_that_dies_is_replaced_and_its_frames_go_again_in_order(bench: PublisherBench):
    bench.broker.fail_at = {7, 20}
    publisher = bench.publisher()
    for sequence in range(40):
        publisher.publish(a_record(sequence))
    assert publisher.drain(10)
    assert sequences(bench.broker.log) == list(range(40))
    assert bench.broker.n_connections == 3
    assert publisher.state.n_acknowledged == 40


def test_frames_in_memory_stay_within_their_limit(bench: PublisherBench):
    bench.broker.silent = True
    publisher = bench.publisher(limits=DeliveryLimits(memory_bytes=1000, patience_s=60))
    for sequence in range(40):
        publisher.publish(a_record(sequence))
    assert publisher.state.n_spooled >= 30
    bench.broker.come_back()
    assert publisher.drain(10)
    assert sequences(bench.broker.log) == list(range(40))


def test_the_producer_is_given_no_more_than_its_share(bench: PublisherBench):
    bench.broker.silent = True
    publisher = bench.publisher(limits=DeliveryLimits(handed_frames=3, patience_s=60))
    for sequence in range(10):
        publisher.publish(a_record(sequence))
    time.sleep(0.1)
    assert len(bench.broker.producers[0]._held) == 3


def test_a_broker_that_refuses_the_camera_from_the_start_is_a_setup_error(bench: PublisherBench):
    def refuse() -> FrameProducer:
        raise SetupError("no such account")

    publisher = bench.publisher(connect=refuse)
    with pytest.raises(SetupError, match="no such account"):
        publisher.drain(5)
    with pytest.raises(SetupError, match="no such account"):
        publisher.publish(a_record(0))


@given(st.lists(st.sampled_from(["frame", "frame", "frame", "silent", "fail", "back", "restart"]), max_size=40))
@settings(max_examples=40, deadline=None)
def test_order_and_completeness_hold_for_any_sequence_of_troubles(tmp_path_factory: pytest.TempPathFactory, events):
    bench = PublisherBench(tmp_path_factory.mktemp("spool"))
    publisher = bench.publisher(limits=DeliveryLimits(memory_bytes=700, handed_frames=2, patience_s=0.01))
    sequence = n_acknowledged = 0
    for event in events:
        if event == "frame":
            publisher.publish(a_record(sequence))
            sequence += 1
        elif event == "silent":
            bench.broker.silent = True
        elif event == "fail":
            bench.broker.fail_at.add(bench.broker.n_sent)
        elif event == "back":
            bench.broker.come_back()
        else:
            n_acknowledged += publisher.close().n_acknowledged
            publisher = bench.publisher(limits=DeliveryLimits(memory_bytes=700, handed_frames=2, patience_s=0.01))
    bench.broker.come_back()
    assert publisher.drain(20)
    n_acknowledged += publisher.close().n_acknowledged
    arrived = sequences(bench.broker.log)
    assert list(dict.fromkeys(arrived)) == list(range(sequence))
    assert n_acknowledged == sequence


def test_the_spool_is_ahead_until_its_newest_frame_is_handed_over(tmp_path: Path):
    spool = Spool(tmp_path)
    queue = Unacknowledged(spool)
    queue.join_in_spool(a_record(0))
    assert queue.is_spool_ahead
    waiting = queue.next_unhanded()
    assert waiting is not None
    queue.hand_over(waiting, 100)
    assert not queue.is_spool_ahead
    spool.close()

"""Delivery: nothing lost, nothing overtakes, nothing refused silently, whatever the broker does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.backlog import DeliveryLimits, FrameRefusedError
from agents.claim_check import ClaimCheck
from agents.frame_producer import FrameProducer, ProducerFactory
from agents.frame_publisher import FramePublisher
from agents.spool import Spool, SpoolRecord
from agents.unacknowledged import Unacknowledged
from schemas.errors import SetupError, TransientError
from schemas.store import ContentStore, redeem_claim
from tests.agents.fake_broker import FakeBroker

PNG = b"\x89PNG\r\n\x1a\n"
QUICK = DeliveryLimits(patience_s=0.2)


def a_record(sequence: int, n_bytes: int = 100) -> SpoolRecord:
    value = PNG + bytes([sequence % 256]) * n_bytes
    return SpoolRecord(b"lab/line1/cam0", value, (("ce_id", str(sequence).encode()),))


def sequences(records: list[SpoolRecord]) -> list[int]:
    return [int(dict(record.headers)["ce_id"]) for record in records]


def until(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


class Bench:
    """A publisher, its broker, its spool folder and what it said."""

    def __init__(self, folder: Path) -> None:
        self.broker = FakeBroker()
        self.folder = folder
        self.said: list[str] = []
        self.open: list[FramePublisher] = []

    def publisher(
        self,
        *,
        limits: DeliveryLimits = QUICK,
        spool_bytes: int = 10**8,
        waits: bool = False,
        claims: ContentStore | None = None,
        connect: ProducerFactory | None = None,
    ) -> FramePublisher:
        spool = Spool(self.folder, spool_bytes)
        made = FramePublisher(
            connect or self.broker.connect,
            spool,
            ClaimCheck(claims),
            limits=limits,
            waits=waits,
            notice=self.said.append,
        )
        self.open.append(made)
        return made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "spool")
    yield made
    for publisher in made.open:
        publisher.close()


def test_frames_arrive_in_order_and_are_counted_when_acknowledged(bench: Bench):
    publisher = bench.publisher()
    for sequence in range(50):
        publisher.publish(a_record(sequence))
    assert publisher.drain(5)
    assert sequences(bench.broker.log) == list(range(50))
    assert publisher.close().n_acknowledged == 50
    assert not list(bench.folder.glob("*.frame"))


def test_frames_that_nobody_acknowledged_are_not_counted(bench: Bench):
    bench.broker.silent = True
    publisher = bench.publisher()
    for sequence in range(5):
        publisher.publish(a_record(sequence))
    assert not publisher.drain(0.1)
    state = publisher.close()
    assert (state.n_acknowledged, state.n_spooled) == (0, 5)


def test_a_broker_that_falls_silent_sends_frames_to_disk_and_gets_all_in_order_when_it_is_back(bench: Bench):
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


def test_a_broker_that_is_away_at_the_start_gets_everything_when_it_comes(bench: Bench):
    bench.broker.down = True
    publisher = bench.publisher()
    until(lambda: publisher.state.away is not None)
    for sequence in range(10):
        publisher.publish(a_record(sequence))
    assert publisher.state.n_spooled == 10
    bench.broker.come_back()
    assert publisher.drain(10)
    assert sequences(bench.broker.log) == list(range(10))


def test_what_an_earlier_run_spooled_goes_first(bench: Bench):
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


def test_a_producer_that_dies_is_replaced_and_its_frames_go_again_in_order(bench: Bench):
    bench.broker.fail_at = {7, 20}
    publisher = bench.publisher()
    for sequence in range(40):
        publisher.publish(a_record(sequence))
    assert publisher.drain(10)
    assert sequences(bench.broker.log) == list(range(40))
    assert bench.broker.n_connections == 3
    assert publisher.state.n_acknowledged == 40


def test_frames_in_memory_stay_within_their_limit(bench: Bench):
    bench.broker.silent = True
    publisher = bench.publisher(limits=DeliveryLimits(memory_bytes=1000, patience_s=60))
    for sequence in range(40):
        publisher.publish(a_record(sequence))
    assert publisher.state.n_spooled >= 30
    bench.broker.come_back()
    assert publisher.drain(10)
    assert sequences(bench.broker.log) == list(range(40))


def test_the_producer_is_given_no_more_than_its_share(bench: Bench):
    bench.broker.silent = True
    publisher = bench.publisher(limits=DeliveryLimits(handed_frames=3, patience_s=60))
    for sequence in range(10):
        publisher.publish(a_record(sequence))
    time.sleep(0.1)
    assert len(bench.broker.producers[0]._held) == 3


def test_a_shutter_is_refused_when_the_spool_is_full_and_the_count_says_so(bench: Bench):
    bench.broker.down = True
    publisher = bench.publisher(spool_bytes=1500, limits=DeliveryLimits(memory_bytes=500))
    until(lambda: publisher.state.away is not None)
    n_refused, kept = 0, []
    for sequence in range(40):
        try:
            publisher.publish(a_record(sequence))
            kept.append(sequence)
        except FrameRefusedError as refused:
            n_refused += 1
            assert "1500 bytes" in str(refused)
    assert publisher.state.n_refused == n_refused > 0
    assert sum("refusing frames" in sentence for sentence in bench.said) == 1
    bench.broker.come_back()
    assert publisher.drain(10)
    assert sequences(bench.broker.log) == kept


def test_a_folder_waits_when_the_spool_is_full_and_loses_nothing(bench: Bench):
    bench.broker.down = True
    publisher = bench.publisher(spool_bytes=1500, limits=DeliveryLimits(memory_bytes=500), waits=True)

    def send() -> None:
        for sequence in range(40):
            publisher.publish(a_record(sequence))

    sender = threading.Thread(target=send)
    sender.start()
    until(lambda: any("waiting" in sentence for sentence in bench.said))
    bench.broker.come_back()
    sender.join(20)
    assert publisher.drain(10)
    assert sequences(bench.broker.log) == list(range(40))
    assert publisher.state.n_refused == 0


def test_a_folder_waits_for_room_in_memory_instead_of_filling_the_disk(bench: Bench):
    bench.broker.silent = True
    publisher = bench.publisher(limits=DeliveryLimits(memory_bytes=500, patience_s=60), waits=True)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(FrameRefusedError, match="stopped before there was room"):
        for sequence in range(40):
            publisher.publish(a_record(sequence), stop)
    assert publisher.state.n_spooled == 0


def test_what_neither_broker_nor_disk_took_at_the_end_is_counted_as_refused(bench: Bench):
    bench.broker.down = True
    publisher = bench.publisher(spool_bytes=400, limits=DeliveryLimits(memory_bytes=10**6))
    until(lambda: publisher.state.away is not None)
    for sequence in range(10):
        publisher.publish(a_record(sequence))
    state = publisher.close()
    assert state.n_spooled + state.n_refused == 10
    assert any("frames are lost" in sentence for sentence in bench.said)


def test_a_damaged_spool_entry_is_skipped_said_and_counted(bench: Bench):
    bench.broker.down = True
    first = bench.publisher()
    until(lambda: first.state.away is not None)
    for sequence in range(5):
        first.publish(a_record(sequence))
    first.close()
    sorted(bench.folder.glob("*.frame"))[2].write_bytes(b"rot")
    bench.broker.down = False
    second = bench.publisher()
    assert second.drain(5)
    assert sequences(bench.broker.log) == [0, 1, 3, 4]
    assert second.state.n_quarantined == 1
    assert any("damaged" in sentence for sentence in bench.said)


def test_a_frame_too_large_for_the_broker_is_refused_alone(bench: Bench):
    bench.broker.max_value_bytes = 1000
    publisher = bench.publisher()
    for sequence in range(6):
        publisher.publish(a_record(sequence, 5000 if sequence == 3 else 100))
    assert publisher.drain(5)
    assert sequences(bench.broker.log) == [0, 1, 2, 4, 5]
    assert publisher.state.n_refused == 1
    assert any("max.message.bytes" in sentence for sentence in bench.said)


def test_a_picture_above_2_mib_is_refused_with_size_limit_and_remedy(bench: Bench):
    publisher = bench.publisher()
    with pytest.raises(FrameRefusedError, match=r"3000008 bytes.*2097152.*--claims"):
        publisher.publish(a_record(0, 3_000_000))
    assert publisher.state.n_refused == 1


def test_a_picture_above_2_mib_goes_by_claim_check_in_its_place(bench: Bench, tmp_path: Path):
    root = f"file://{tmp_path}/claims"
    publisher = bench.publisher(claims=ContentStore(root))
    pictures = [a_record(sequence, 3_000_000 if sequence == 1 else 10) for sequence in range(3)]
    for record in pictures:
        publisher.publish(record)
    assert publisher.drain(5)
    assert sequences(bench.broker.log) == [0, 1, 2]
    headers = {name: raw.decode() for name, raw in bench.broker.log[1].headers}
    assert bench.broker.log[1].value == b""
    assert headers["ce_dataref"].endswith(".png")
    assert redeem_claim(headers["ce_dataref"], headers["ce_datasha256"], (root,), 10**7) == pictures[1].value


def test_a_spooled_large_picture_without_a_claim_store_is_kept_in_quarantine(bench: Bench, tmp_path: Path):
    bench.broker.down = True
    first = bench.publisher(claims=ContentStore(f"file://{tmp_path}/claims"))
    until(lambda: first.state.away is not None)
    first.publish(a_record(0, 3_000_000))
    first.publish(a_record(1))
    first.close()
    bench.broker.down = False
    second = bench.publisher()
    assert second.drain(5)
    assert sequences(bench.broker.log) == [1]
    state = second.state
    assert (state.n_refused, state.n_quarantined) == (1, 1)
    assert list((bench.folder / "quarantine").glob("*.frame"))


def test_a_claim_store_that_is_away_holds_the_line_up_without_losing_its_order(bench: Bench, tmp_path: Path):
    class AwayStore(ContentStore):
        is_away = True

        def put(self, content: bytes, suffix: str) -> str:
            if self.is_away:
                raise TransientError("store away")
            return super().put(content, suffix)

    store = AwayStore(f"file://{tmp_path}/claims")
    publisher = bench.publisher(claims=store)
    for sequence in range(3):
        publisher.publish(a_record(sequence, 3_000_000 if sequence == 1 else 10))
    until(lambda: publisher.state.away is not None)
    store.is_away = False
    assert publisher.drain(10)
    assert sequences(bench.broker.log) == [0, 1, 2]


def test_a_broker_that_refuses_the_camera_from_the_start_is_a_setup_error(bench: Bench):
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
    bench = Bench(tmp_path_factory.mktemp("spool"))
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

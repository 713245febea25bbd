"""What a publisher cannot take: full spools, damaged entries, pictures too large; said, counted, never silent."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agents.backlog import DeliveryLimits, FrameRefusedError
from schemas.errors import TransientError
from schemas.store import ContentStore, redeem_claim
from tests.agents.publisher_bench import PublisherBench, a_record, sequences, until


def test_a_shutter_is_refused_when_the_spool_is_full_and_the_count_says_so(bench: PublisherBench):
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


def test_a_folder_waits_when_the_spool_is_full_and_loses_nothing(bench: PublisherBench):
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


def test_a_folder_waits_for_room_in_memory_instead_of_filling_the_disk(bench: PublisherBench):
    bench.broker.silent = True
    publisher = bench.publisher(limits=DeliveryLimits(memory_bytes=500, patience_s=60), waits=True)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(FrameRefusedError, match="stopped before there was room"):
        for sequence in range(40):
            publisher.publish(a_record(sequence), stop)
    assert publisher.state.n_spooled == 0


def test_what_neither_broker_nor_disk_took_at_the_end_is_counted_as_refused(bench: PublisherBench):
    bench.broker.down = True
    publisher = bench.publisher(spool_bytes=400, limits=DeliveryLimits(memory_bytes=10**6))
    until(lambda: publisher.state.away is not None)
    for sequence in range(10):
        publisher.publish(a_record(sequence))
    state = publisher.close()
    assert state.n_spooled + state.n_refused == 10
    assert any("frames are lost" in sentence for sentence in bench.said)


def test_a_damaged_spool_entry_is_skipped_said_and_counted(bench: PublisherBench):
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


def test_a_frame_too_large_for_the_broker_is_refused_alone(bench: PublisherBench):
    bench.broker.max_value_bytes = 1000
    publisher = bench.publisher()
    for sequence in range(6):
        publisher.publish(a_record(sequence, 5000 if sequence == 3 else 100))
    assert publisher.drain(5)
    assert sequences(bench.broker.log) == [0, 1, 2, 4, 5]
    assert publisher.state.n_refused == 1
    assert any("max.message.bytes" in sentence for sentence in bench.said)


def test_a_picture_above_2_mib_is_refused_with_size_limit_and_remedy(bench: PublisherBench):
    publisher = bench.publisher()
    with pytest.raises(FrameRefusedError, match=r"3000008 bytes.*2097152.*--claims"):
        publisher.publish(a_record(0, 3_000_000))
    assert publisher.state.n_refused == 1


def test_a_picture_above_2_mib_goes_by_claim_check_in_its_place(bench: PublisherBench, tmp_path: Path):
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


def test_a_spooled_large_picture_without_a_claim_store_is_kept_in_quarantine(bench: PublisherBench, tmp_path: Path):
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


def test_a_claim_store_that_is_away_holds_the_line_up_without_losing_its_order(bench: PublisherBench, tmp_path: Path):
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

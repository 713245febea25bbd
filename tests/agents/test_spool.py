"""The spool: first in, first out, bounded, whole after a crash."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.spool import Spool, SpoolEntryCorruptError, SpoolFullError, SpoolRecord, _decode, _encode
from schemas.errors import SetupError


def a_record(text: str = "a", n_bytes: int = 100) -> SpoolRecord:
    return SpoolRecord(b"lab/line1/cam0", text.encode() * n_bytes, (("ce_id", text.encode()),))


@contextmanager
def opened(folder: Path, limit_bytes: int = 10**6) -> Iterator[Spool]:
    spool = Spool(folder, limit_bytes)
    try:
        yield spool
    finally:
        spool.close()


@given(
    value=st.binary(max_size=300),
    headers=st.lists(st.tuples(st.text(max_size=8), st.text(max_size=20)), max_size=5),
)
@settings(max_examples=60)
def test_an_entry_decodes_to_the_record_it_was_made_from(value, headers):
    record = SpoolRecord(b"lab/line1/cam0", value, tuple((name, text.encode()) for name, text in headers))
    assert _decode(_encode(record)) == record


@given(at=st.integers(min_value=0, max_value=10**6), bit=st.integers(min_value=0, max_value=7))
@settings(max_examples=60)
def test_one_flipped_bit_anywhere_is_noticed(at, bit):
    content = bytearray(_encode(a_record()))
    content[at % len(content)] ^= 1 << bit
    with pytest.raises(ValueError):
        _decode(bytes(content))


def test_entries_come_back_in_order_after_a_restart(tmp_path: Path):
    with opened(tmp_path) as spool:
        numbers = [spool.append(a_record(text)) for text in "abc"]
        spool.remove(numbers[0])
    with opened(tmp_path) as again:
        assert [again.read(number).headers[0][1] for number in again] == [b"b", b"c"]
        assert again.append(a_record("d")) > numbers[-1]
        assert list(again) == sorted(again)
        assert again.n_bytes == sum(path.stat().st_size for path in tmp_path.glob("*.frame"))


def test_a_half_written_entry_is_swept_away_at_the_next_start(tmp_path: Path):
    (tmp_path / "000000000000007.part").write_bytes(b"half")
    with opened(tmp_path) as spool:
        assert len(spool) == 0
    assert not list(tmp_path.glob("*.part"))


def test_a_full_spool_refuses_and_says_its_limit_then_takes_again_when_there_is_room(tmp_path: Path):
    with opened(tmp_path, limit_bytes=1000) as spool:
        first = spool.append(a_record("a", 500))
        with pytest.raises(SpoolFullError, match="of 1000 bytes"):
            spool.append(a_record("b", 500))
        assert len(spool) == 1
        spool.remove(first)
        spool.append(a_record("b", 500))


def test_a_disk_that_refuses_is_a_full_spool_and_leaves_no_debris(tmp_path: Path):
    with opened(tmp_path) as spool:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
        try:
            with pytest.raises(SpoolFullError, match="cannot be written"):
                spool.append(a_record("a", 5000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
        assert spool.read(spool.append(a_record("b"))) == a_record("b")


@pytest.mark.parametrize("damage", [b"", b"short", b"X" * 400])
def test_a_damaged_entry_is_quarantined_and_its_number_never_given_again(tmp_path: Path, damage: bytes):
    with opened(tmp_path) as spool:
        number = spool.append(a_record())
        (tmp_path / f"{number:015d}.frame").write_bytes(damage)
        with pytest.raises(SpoolEntryCorruptError, match="quarantine"):
            spool.read(number)
        assert (len(spool), spool.n_bytes, spool.n_quarantined) == (0, 0, 1)
    assert (tmp_path / "quarantine" / f"{number:015d}.frame").read_bytes() == damage
    with opened(tmp_path) as again:
        assert again.append(a_record()) > number


def test_removing_twice_does_nothing(tmp_path: Path):
    with opened(tmp_path) as spool:
        number = spool.append(a_record())
        spool.remove(number)
        spool.remove(number)
        assert (len(spool), spool.n_bytes) == (0, 0)


def test_a_second_owner_is_refused_until_the_first_lets_go(tmp_path: Path):
    with opened(tmp_path), pytest.raises(SetupError, match="another camera process"):
        Spool(tmp_path)
    Spool(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_a_setup_error(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SetupError, match="cannot be used"):
        Spool(tmp_path / "file" / "spool")

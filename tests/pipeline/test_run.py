"""Periods, clean runs and sentences of an alert in progress."""

from __future__ import annotations

import pytest

from pipeline.alert_text import ordinal
from pipeline.run import allowed_hits, period_of

ALL = (1 << 64) - 1


def comb(period: int, phase: int = 0, n: int = 64) -> int:
    return sum(1 << at for at in range(phase, n, period))


@pytest.mark.parametrize("period", [2, 3, 4, 8, 16])
def test_hits_on_every_kth_frame_have_that_period(period: int) -> None:
    assert period_of(comb(period), ALL, 16) == period
    assert period_of(comb(period, 1), ALL, 16) == period


def test_hits_on_all_frames_or_on_none_in_particular_have_no_period() -> None:
    assert period_of(ALL, ALL, 16) is None
    assert period_of(0b1011001, ALL, 16) is None
    assert period_of(0b101, ALL, 16) is None


def test_a_missed_hit_does_not_hide_the_period() -> None:
    assert period_of(comb(4) & ~(1 << 8), ALL, 16) == 4


def test_good_parts_are_allowed_the_hits_they_leave_in_99_of_100_runs() -> None:
    assert allowed_hits(60, 0.0) == 0
    assert allowed_hits(60, 0.01) == 3
    assert allowed_hits(60, 1e-4) == 0


@pytest.mark.parametrize(("number", "word"), [(2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd")])
def test_ordinals_read_as_people_say_them(number: int, word: str) -> None:
    assert ordinal(number) == word

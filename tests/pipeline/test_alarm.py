"""The alarm on a map: as few false alarms as designed, and the delays that are promised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.alarm import BACKGROUND, MapAlarm, run_start

SHAPE = (16, 16)
PLACE = 5 * 16 + 6
NOWHERE = np.zeros(0, np.int64)


def delay(strikes: Callable[[int, np.random.Generator], bool], seed: int, elapsed: int = 1) -> tuple[int, int]:
    """Parts from the first defective one to the alarm at its place, and the period that was found."""
    rng = np.random.default_rng(seed)
    alarm = MapAlarm(SHAPE, 1e6, None)
    for number in range(1, 2000):
        hit = rng.random(256) < BACKGROUND
        hit[PLACE] |= strikes(number, rng)
        found = alarm.update(hit, rng.permutation(256)[: np.count_nonzero(hit)], elapsed)
        if found is not None and PLACE in found.cells:
            return number, int(found.period.max())
    raise AssertionError("no alarm in 2000 parts")


@pytest.mark.parametrize(("rate", "most"), [(1.0, 4.0), (0.5, 10.0), (0.1, 70.0)])
def test_a_mark_is_suspected_within_the_promised_number_of_parts(rate: float, most: float) -> None:
    delays = [delay(lambda _, rng: rng.random() < rate, seed)[0] for seed in range(60)]
    assert np.mean(delays) <= most


@pytest.mark.parametrize("period", [2, 4, 8, 16])
def test_one_cavity_of_several_is_found_with_its_period(period: int) -> None:
    found = [delay(lambda number, _: number % period == 0, seed) for seed in range(10)]
    assert max(number for number, _ in found) <= 5 * period
    if period > 2:
        assert {k for _, k in found} == {period}


def test_lost_frames_keep_the_phase_of_a_period() -> None:
    alarm = MapAlarm(SHAPE, 1e6, None)
    rng = np.random.default_rng(3)
    sequence, last = 0, 0
    while True:
        sequence += 1
        if rng.random() < 0.3:
            continue
        hit = np.zeros(256, bool)
        hit[PLACE] = sequence % 4 == 0
        found = alarm.update(hit, NOWHERE[: np.count_nonzero(hit)], sequence - last)
        last = sequence
        if found is not None:
            break
    assert found.period.max() == 4


def test_the_map_alarms_falsely_no_more_often_than_designed() -> None:
    rng = np.random.default_rng(4)
    n_alarms, n_frames, arl0 = 0, 60_000, 2_000.0
    alarm = MapAlarm(SHAPE, arl0, None)
    hits = rng.random((n_frames, 256)) < BACKGROUND
    for hit in hits:
        cells = np.flatnonzero(hit)
        if alarm.update(hit, cells, 1) is not None:
            n_alarms += 1
            alarm.forget(np.arange(256), np.arange(256))
    assert n_alarms <= n_frames / arl0 * 1.3


def test_a_place_that_good_parts_hit_often_is_given_its_own_higher_threshold() -> None:
    rates = np.full(SHAPE, BACKGROUND)
    rates.reshape(-1)[PLACE] = 0.05
    rng = np.random.default_rng(5)
    alarm = MapAlarm(SHAPE, 1e6, rates)
    for _ in range(3000):
        hit = rng.random(256) < rates.reshape(-1)
        assert alarm.update(hit, np.flatnonzero(hit), 1) is None


def test_a_mark_on_the_seam_between_cells_is_found_through_its_window() -> None:
    rng = np.random.default_rng(6)
    alarm = MapAlarm(SHAPE, 1e6, None)
    n_parts, found = 0, None
    while found is None:
        n_parts += 1
        hit = np.zeros(256, bool)
        hit[PLACE + rng.integers(0, 2) + 16 * rng.integers(0, 2)] = True
        found = alarm.update(hit, np.array([-1]), 1)
    assert n_parts <= 8


def registers(*ages: int) -> int:
    return sum(1 << age for age in ages)


@pytest.mark.parametrize(
    ("ages", "start"), [((0, 1, 2, 3), 3), ((0, 1, 2, 3, 50), 3), ((0, 4, 8, 12), 12), ((0, 2, 3, 5, 6), 6)]
)
def test_a_run_is_dated_to_the_first_hit_that_belongs_to_it(ages: tuple[int, ...], start: int) -> None:
    assert run_start(registers(*ages), (1 << 64) - 1, BACKGROUND) == start


def masks_of(alarm: MapAlarm) -> list[NDArray[np.int16]]:
    return [alarm.cells.statistic, alarm.windows.statistic, alarm.sensor.statistic]


def test_a_place_that_is_forgotten_starts_from_nothing() -> None:
    alarm = MapAlarm(SHAPE, 1e6, None)
    hit = np.zeros(256, bool)
    hit[PLACE] = True
    for _ in range(3):
        assert alarm.update(hit, np.array([PLACE]), 1) is None
    alarm.forget(np.array([PLACE]), np.array([PLACE]))
    assert all(not mask.any() for mask in masks_of(alarm))
    assert alarm.hits[PLACE] == 0

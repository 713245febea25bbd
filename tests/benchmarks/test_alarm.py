"""The simulation behind the alarm's figures is right where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.alarm_paper import SCRATCH, follow, iou, scratched, texts, textures
from benchmarks.alarm_rivals import ewma_limit, median_alone, shewhart_limit
from benchmarks.alarm_theory import ARL0_FRAMES, bound_frames, false_alarms, simulate_bank, strikes
from pipeline.alarm import ChartBank
from pipeline.chart import run_length


def test_importance_sampling_agrees_with_the_exact_run_length_of_one_chart() -> None:
    bank = ChartBank(np.full(1, 0.01), 1e7, (0.4,))
    kind = int(bank.kind[0])
    gain, loss, threshold = (int(a[0, kind]) for a in (bank.gain, bank.loss, bank.threshold))
    found = simulate_bank(bank, 0.01, 1, 60_000, 3)
    assert found.arl0_frames == pytest.approx(run_length(0.01, gain, loss, threshold), rel=0.06)


def test_the_whole_map_keeps_its_false_alarm_rate() -> None:
    found = false_alarms(20_000)["map"]
    assert found.arl0_frames * (1 - 3 * found.relative_error) >= ARL0_FRAMES


def test_the_bounds_are_those_of_the_literature() -> None:
    assert [round(bound_frames(rate), 1) for rate in (1.0, 0.5, 0.1)] == [3.2, 8.0, 60.4]


def test_rivals_have_the_limits_that_the_same_false_alarm_rate_asks_for() -> None:
    assert shewhart_limit() == 5
    assert 0.25 < ewma_limit() < 0.3
    assert median_alone(strikes(1.0, 1, 40, np.random.default_rng(0))) == 16


def test_a_scratch_on_textures_is_found_and_the_plain_ones_are_blank() -> None:
    film = list(textures(120))
    marked = follow([scratched(picture) for picture in film], SCRATCH, 61)
    assert marked.n_alerts == 1 and marked.iou > 0.3
    assert follow(film, SCRATCH, 61).n_alerts == 0


def test_boxes_overlap_as_sets_of_pixels_do() -> None:
    assert iou((0, 0, 4, 4), (2, 0, 4, 4)) == pytest.approx(8 / 24)
    assert iou((0, 0, 4, 4), (9, 9, 2, 2)) == 0
    assert next(texts(1)).shape == (80, 160)

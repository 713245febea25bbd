"""A chart's run length is computed, and simulation agrees."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.chart import design_chart, run_length


def simulate(hit_rate: float, gain: int, loss: int, threshold: int, n_runs: int) -> float:
    rng = np.random.default_rng(0)
    statistic = np.zeros(n_runs, np.int64)
    length = np.zeros(n_runs, np.int64)
    running = np.ones(n_runs, bool)
    while running.any():
        hit = rng.random(n_runs) < hit_rate
        statistic = np.maximum(statistic + np.where(hit, gain, -loss), 0)
        length += running
        running &= statistic < threshold
    return float(length.mean())


@pytest.mark.parametrize(("rate", "gain", "loss", "threshold"), [(0.05, 30, 2, 60), (0.3, 10, 4, 55), (0.9, 5, 9, 60)])
def test_the_computed_run_length_is_the_simulated_one(rate: float, gain: int, loss: int, threshold: int) -> None:
    computed, simulated = run_length(rate, gain, loss, threshold), simulate(rate, gain, loss, threshold, 4000)
    assert simulated == pytest.approx(computed, rel=0.06)


def test_the_chain_is_solved_exactly() -> None:
    threshold, gain, loss, rate = 37, 9, 4, 0.02
    states = np.arange(threshold)
    chain = np.eye(threshold)
    np.subtract.at(chain, (states, np.maximum(states - loss, 0)), 1 - rate)
    inside = states + gain < threshold
    np.subtract.at(chain, (states[inside], states[inside] + gain), rate)
    assert run_length(rate, gain, loss, threshold) == pytest.approx(np.linalg.solve(chain, np.ones(threshold))[0])


def test_a_designed_threshold_is_the_lowest_that_keeps_the_false_alarm_rate() -> None:
    chart = design_chart(0.4, 1e-3, 1e9)
    assert chart is not None
    assert chart.arl0_frames >= 1e9 > run_length(1e-3, chart.gain, chart.loss, chart.threshold - 1)


def test_no_chart_is_made_for_a_rate_that_good_parts_reach_themselves() -> None:
    assert design_chart(0.12, 0.1, 1e9) is None

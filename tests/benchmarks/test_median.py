"""What the median benchmark holds itself against gives the right medians too."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.median import film, ours
from benchmarks.median_rivals import INSTALLED, NOT_TAKEN, UPPER_OF_EVEN, comparators
from pipeline.rolling_median import gradients
from schemas.errors import MissingExtra


@pytest.mark.parametrize("n", [2, 5, 15, 30, 31])
def test_the_pruned_network_selects_the_middle(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        values = rng.integers(-9, 10, n).tolist()
        picked = list(values)
        for a, b in comparators(n):
            picked[a], picked[b] = min(picked[a], picked[b]), max(picked[a], picked[b])
        assert (picked[(n - 1) // 2] + picked[n // 2]) / 2 == np.median(values)


@pytest.mark.parametrize("w", [6, 7])
@pytest.mark.parametrize("name", [*INSTALLED, *NOT_TAKEN])
def test_every_rival_gives_the_median(name: str, w: int) -> None:
    stack = np.stack([gradients(frame)[0] for frame in film(16, w + 6)]).astype(np.int16)
    try:
        took_ms, median = {**INSTALLED, **NOT_TAKEN}[name](stack, w)
    except MissingExtra as missing:
        pytest.skip(str(missing))
    window = stack[-w:]
    expected = np.sort(window, axis=0)[w // 2] if name in UPPER_OF_EVEN else np.median(window, axis=0)
    assert took_ms >= 0
    assert np.array_equal(np.asarray(median, np.float64), expected)


def test_ours_is_timed_on_a_full_window() -> None:
    took_ms, window = ours(film(16, 20), 5)
    assert took_ms > 0 and window.n_frames == 5

"""The benchmark of field reading: repeatable panels whose truth is what they print, and honest counting."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fields import Count
from benchmarks.fields_calibration import Calibration, calibrate
from benchmarks.fields_pictures import CONDITIONS, MACHINES, Panels
from engines.reader import Reader, default_model


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_panel_is_the_same_every_time_and_its_texts_are_its_values(condition: str) -> None:
    first, again = (Panels(MACHINES["running"], 11).show(4, condition) for _ in range(2))
    assert np.array_equal(first.picture, again.picture) and first.values == again.values
    for name, value in first.values.items():
        assert first.texts[name].startswith(f"{abs(value):g}"[:1]) or first.texts[name][0] in "+-"
    assert first.values["US Power"] == pytest.approx(first.values["US Current"] * first.values["US Voltage"], abs=0.5)


def test_rates_are_of_all_lines_but_exactness_is_of_the_accepted() -> None:
    row = Count(n=1000, exact=989, wrong=1, abstained=10)
    row.add(Count(n=1000, exact=1000))
    figures = row.figures()
    assert figures["exact_rate"] == pytest.approx(1989 / 1990, abs=1e-6)
    assert figures["wrong_accept_rate"] == 1 / 2000 and figures["abstain_rate"] == 0.005
    assert isinstance(figures["wrong_accept_bound_95"], float) and figures["wrong_accept_bound_95"] > 1 / 2000


def test_the_calibration_error_is_the_distance_of_stated_from_observed() -> None:
    stated = np.full(1000, 0.75)
    assert Calibration(stated, np.arange(1000) % 4 != 0).error() == pytest.approx(0.0, abs=1e-9)
    assert Calibration(stated, np.arange(1000) % 2 == 0).error() == pytest.approx(0.25, abs=1e-9)


def test_the_shipped_reader_is_honest_on_hard_lines() -> None:
    calibration = calibrate(Reader.load(default_model()), 600)
    assert calibration.right.mean() > 0.93
    assert calibration.error() < 0.05
    sure = calibration.stated >= 0.9
    assert sure.mean() > 0.8 and calibration.right[sure].mean() > 0.99

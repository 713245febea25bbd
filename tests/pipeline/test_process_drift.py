"""A machine parameter that leaves what training saw raises one alert of cause `process`; usual scatter raises none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from pipeline.process_drift import ProcessDrift, threshold
from pipeline.process_signals import PICTURE, UsualSignal
from schemas.alert import Alert, AlertState, Cause
from schemas.aligned import AlignedHeader
from schemas.errors import SetupError
from tests.pipeline.aligned import Line

USUAL = {
    "Bond Force": UsualSignal(level=35.0, spread=1.6, unit="gf"),
    "Tilt X": UsualSignal(level=0.0, spread=0.1, unit="deg"),
}
LINE = Line()
REGION = (0, 0, 64, 64)
HEADER = LINE.frame(0).header


def part(number: int, signals: Mapping[str, float]) -> AlignedHeader:
    return HEADER.model_copy(update={"frame_id": f"f{number}", "sequence": number, "signals": signals})


def run(n: int, drift: Mapping[int, float], seed: int = 0, spikes: float = 0.0) -> tuple[ProcessDrift, list[Alert]]:
    """`n` usual parts; from part k on Bond Force is off by drift[k] usual spreads; `spikes`: share of wild values."""
    rng = np.random.default_rng(seed)
    state, alerts, off = ProcessDrift(HEADER, USUAL, REGION), [], 0.0
    for k in range(n):
        off = drift.get(k, off)
        force = 35 + 1.6 * (off + rng.normal()) + (60 if rng.random() < spikes else 0)
        alerts += state.update(part(k, {"Bond Force": force, "Tilt X": rng.normal(0, 0.1)}))
    return state, alerts


def test_usual_parts_and_rare_wild_values_raise_nothing() -> None:
    assert run(5000, {})[1] == []
    assert run(2000, {}, spikes=0.01)[1] == []


def test_a_drift_is_suspected_soon_confirmed_after_a_window_and_cleared_when_it_is_over() -> None:
    _, alerts = run(900, {200: 3.0, 500: 0.0})
    assert [alert.state for alert in alerts] == [AlertState.SUSPECTED, AlertState.CONFIRMED, AlertState.CLEARED]
    first = alerts[0]
    assert first.cause is Cause.PROCESS
    assert first.rule == "process_drift.Bond Force"
    assert abs(first.first_sequence - 200) < 10
    assert first.last_sequence < 260
    assert "Bond Force of" in first.text and "drifts up" in first.text and "gf" in first.text
    assert len({alert.alert_id for alert in alerts}) == 1


def test_a_missing_field_leaves_its_charts_as_they_are() -> None:
    state, _ = run(20, {0: 2.5})
    before = state.charts["Bond Force"].up
    assert state.update(part(60, {"Tilt X": 0.0, "Unknown": 3.0})) == []
    assert state.charts["Bond Force"].up == before


def test_the_state_comes_back_from_its_bytes_and_goes_on_alike() -> None:
    state, _ = run(206, {200: 3.0})
    again = ProcessDrift.from_bytes(state.to_bytes())
    assert again.to_bytes() == state.to_bytes()
    for k in range(206, 300):
        header = part(k, {"Bond Force": 39.8})
        assert again.update(header) == state.update(header)
    with pytest.raises(SetupError, match="version 9"):
        ProcessDrift.from_bytes(state.to_bytes().replace(b'"version":1', b'"version":9'))


def test_a_person_can_acknowledge_and_a_new_recipe_closes_what_is_open() -> None:
    state, alerts = run(260, {200: 3.0})
    noted = state.acknowledge(alerts[0].alert_id, HEADER, HEADER.captured_at)
    assert [each.state for each in noted] == [AlertState.ACKNOWLEDGED]
    assert state.acknowledge(alerts[0].alert_id, HEADER, HEADER.captured_at) == []
    assert [each.state for each in state.retire(HEADER, HEADER.captured_at)] == [AlertState.CLEARED]
    assert state.runs == []


def test_more_signals_and_longer_runs_between_false_alarms_want_a_higher_threshold() -> None:
    assert threshold(1e6, 16) > threshold(1e4, 16) > threshold(1e4, 1)


def test_a_lot_that_lies_a_little_off_is_no_drift() -> None:
    lots = {100 * number: 1.2 if number % 2 else -1.2 for number in range(20)}
    assert run(2000, lots)[1] == []


def test_pictures_that_resemble_training_more_than_usual_raise_nothing() -> None:
    usual = {PICTURE: UsualSignal(level=0.0, spread=0.2)}
    for distance, expected in ((-1.0, 0), (1.0, 1)):
        state = ProcessDrift(HEADER, usual, REGION)
        alerts = [alert for number in range(30) for alert in state.update(part(number, {PICTURE: distance}))]
        assert len({alert.alert_id for alert in alerts}) == expected

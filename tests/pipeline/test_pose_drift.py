"""A drifting fixture raises one alert of its own kind; parts that scatter as usual raise none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from engines.geometry import motion
from pipeline.pose_drift import LEARNING_FRAMES, PoseDrift, threshold
from schemas.alert import Alert, AlertState, Cause
from schemas.aligned import AlignedHeader
from schemas.errors import SetupError
from schemas.recipe import WindowSettings

START = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
TEMPLATE, FRAME = (128, 96), (256, 192)


def header(number: int, dx: float = 0.0, dy: float = 0.0, angle: float = 0.0, residual: float = 0.02) -> AlignedHeader:
    matrix = motion(FRAME, TEMPLATE, dx, dy, angle)
    a, b, c, d, e, f = matrix.ravel().tolist()
    return AlignedHeader(
        frame_id=f"f{number}",
        station="lab/line1/cam0",
        product="plate",
        captured_at=START + timedelta(seconds=number),
        epoch="boot",
        sequence=number,
        bundle_sha256="0" * 64,
        template_sha256="1" * 64,
        recipe_revision=1,
        score=0.1,
        residual=residual,
        cell_threshold=1.0,
        transform=(a, b, c, d, e, f),
        frame_size_px=FRAME,
        window=WindowSettings(frames=31, clear_after_frames=40),
    )


def run(
    n: int, seed: int = 0, drift_from: int = 10**9, until: int = 10**9, drift: Mapping[str, float] | None = None
) -> tuple[PoseDrift, list[Alert]]:
    """`n` parts scattered as usual (0.3 px, 0.1 degrees, a tenth of the residual), drifting from one part on."""
    rng = np.random.default_rng(seed)
    state, alerts = PoseDrift(header(0), TEMPLATE), []
    for k in range(n):
        off = (drift or {}) if drift_from <= k < until else {}
        alerts += state.update(
            header(
                k,
                float(rng.normal(0, 0.3)) + off.get("dx", 0.0),
                float(rng.normal(0, 0.3)) + off.get("dy", 0.0),
                float(rng.normal(0, 0.1)) + off.get("angle", 0.0),
                0.02 * float(np.exp(rng.normal(0, 0.1))) * off.get("residual", 1.0),
            )
        )
    return state, alerts


def test_parts_that_scatter_as_usual_raise_nothing() -> None:
    for seed in range(4):
        assert run(3000, seed)[1] == []


@pytest.mark.parametrize(
    ("drift", "rule", "words"),
    [
        ({"dx": 0.6}, "pose_drift.dx", "further right"),
        ({"dy": -0.6}, "pose_drift.dy", "higher"),
        ({"angle": 0.25}, "pose_drift.angle", "counter-clockwise"),
        ({"residual": 1.4}, "pose_drift.residual", "worse"),
    ],
)
def test_a_drift_is_suspected_within_30_parts_and_confirmed_after_a_window(
    drift: dict[str, float], rule: str, words: str
) -> None:
    _, alerts = run(700, 1, drift_from=400, drift=drift)
    assert [alert.state for alert in alerts] == [AlertState.SUSPECTED, AlertState.CONFIRMED]
    assert {alert.rule for alert in alerts} == {rule}
    assert {alert.cause for alert in alerts} == {Cause.FIXTURE}
    assert len({alert.alert_id for alert in alerts}) == 1
    assert alerts[0].last_sequence < 430
    assert abs(alerts[0].first_sequence - 400) < 15
    assert words in alerts[1].text
    assert alerts[0].at == START + timedelta(seconds=alerts[0].last_sequence)


def test_a_fixture_put_right_clears_its_alert() -> None:
    _, alerts = run(900, 2, drift_from=300, until=500, drift={"dx": 1.0})
    assert [alert.state for alert in alerts] == [AlertState.SUSPECTED, AlertState.CONFIRMED, AlertState.CLEARED]
    assert alerts[-1].last_sequence >= 540


def test_one_part_far_off_raises_nothing() -> None:
    state, _ = run(300, 3)
    assert state.update(header(300, dx=80.0, dy=-60.0, angle=120.0, residual=0.9)) == []


def test_a_product_lying_at_every_angle_has_no_drift_of_its_turn() -> None:
    rng = np.random.default_rng(4)
    state = PoseDrift(header(0), TEMPLATE)
    for k in range(LEARNING_FRAMES + 400):
        assert state.update(header(k, angle=float(rng.uniform(-180, 180)), dx=float(rng.normal(0, 0.3)))) == []
    assert "angle" not in state.charts


def test_a_repeated_or_older_frame_changes_nothing() -> None:
    state, _ = run(200, 5)
    before = state.to_bytes()
    assert state.update(header(199, dx=9.0)) == []
    assert state.update(header(3, dx=9.0)) == []
    assert state.to_bytes() == before


@pytest.mark.parametrize("cut", [50, 150, 420])
def test_a_saved_state_goes_on_as_if_never_saved(cut: int) -> None:
    whole, alerts = run(700, 6, drift_from=400, drift={"dx": 0.7})
    rng = np.random.default_rng(6)
    state, again = PoseDrift(header(0), TEMPLATE), []
    for k in range(700):
        if k == cut:
            state = PoseDrift.from_bytes(state.to_bytes())
        off = 0.7 if k >= 400 else 0.0
        dx, dy, angle = float(rng.normal(0, 0.3)) + off, float(rng.normal(0, 0.3)), float(rng.normal(0, 0.1))
        again += state.update(header(k, dx, dy, angle, 0.02 * float(np.exp(rng.normal(0, 0.1)))))
    assert again == alerts
    assert state.to_bytes() == whole.to_bytes()


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(SetupError, match="version 0"):
        PoseDrift.from_bytes(b'{"version":0}')


def test_a_rarer_false_alarm_needs_a_higher_threshold() -> None:
    assert 5 < threshold(1e3) < threshold(1e6) < threshold(1e9) < 40


def test_the_residual_that_a_mark_on_the_part_raises_is_not_the_fixtures_doing() -> None:
    state, _ = run(LEARNING_FRAMES + 20)
    rng = np.random.default_rng(9)
    alerts: list[Alert] = []
    for k in range(LEARNING_FRAMES + 20, LEARNING_FRAMES + 200):
        dx, dy, angle = float(rng.normal(0, 0.3)), float(rng.normal(0, 0.3)), float(rng.normal(0, 0.1))
        alerts += state.update(header(k, dx, dy, angle, residual=0.06), marked=True)
    assert alerts == []

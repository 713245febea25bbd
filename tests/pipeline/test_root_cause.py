"""The root-cause state machine: what it says, when, and that nothing but the frames decides it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.process_signals import UsualSignal
from pipeline.root_cause import RootCause
from schemas.alert import Alert, AlertState, Cause, encode_alert
from schemas.aligned import AlignedFrame
from schemas.errors import SetupError
from tests.pipeline.aligned import START, Box, Line

SCRATCH: Box = (20, 30, 16, 3)
Mark = Callable[[int], Box | None]
BASELINE = Line().baseline()


def keep(png: bytes) -> str:
    return f"memory://{hashlib.sha256(png).hexdigest()}"


def follow(frames: Iterable[AlignedFrame], state: RootCause | None = None) -> tuple[RootCause, list[Alert]]:
    alerts: list[Alert] = []
    for frame in frames:
        if state is None:
            state = RootCause.start(frame, BASELINE, None)
        alerts += state.update(frame, keep)
    assert state is not None
    return state, alerts


def run(n: int, mark: Mark, line: Line | None = None) -> list[Alert]:
    made = line or Line()
    return follow(made.frame(number, mark(number)) for number in range(1, n + 1))[1]


def states(alerts: list[Alert]) -> list[str]:
    return [alert.state.value for alert in alerts]


def test_a_fixture_that_scratches_every_part_is_suspected_confirmed_and_cleared() -> None:
    alerts = run(200, lambda number: SCRATCH if 50 <= number < 100 else None)
    assert states(alerts) == ["suspected", "confirmed", "cleared"]
    suspected, confirmed, cleared = alerts
    assert len({alert.alert_id for alert in alerts}) == 1
    assert suspected.first_sequence == 50
    assert suspected.last_sequence <= 53
    assert confirmed.last_sequence <= 58
    assert confirmed.cause is Cause.PRODUCT
    assert confirmed.gradient_map is not None
    assert confirmed.frames[0] == "frame-boot1-50"
    assert 115 <= cleared.last_sequence <= 125
    assert confirmed.at == START.replace(second=0) + (confirmed.at - START)


def test_the_confirmed_region_is_the_mark_to_a_few_pixels() -> None:
    confirmed = next(alert for alert in run(100, lambda _: SCRATCH) if alert.state is AlertState.CONFIRMED)
    x, y, w, h = confirmed.region_px
    assert abs(x - SCRATCH[0]) <= 2 and abs(y - SCRATCH[1]) <= 2
    assert abs(w - SCRATCH[2]) <= 4 and abs(h - SCRATCH[3]) <= 4


def test_the_far_end_of_a_long_scratch_that_alarms_later_is_the_same_alert() -> None:
    line, long_scratch = Line(), (8, 30, 44, 3)

    def frame(number: int) -> AlignedFrame:
        hits = np.zeros((line.grid, line.grid), np.float32)
        hits[7:9, 2:4] = 1.0
        hits[7:9, 12:14] = 1.0 if number > 20 else 0.0
        return AlignedFrame(line.frame(number).header, line.picture(number, long_scratch), hits)

    alerts = follow(frame(number) for number in range(1, 61))[1]
    assert states(alerts) == ["suspected", "confirmed"]


def test_good_parts_and_defects_here_and_there_raise_nothing() -> None:
    def anywhere(number: int) -> Box | None:
        rng = np.random.default_rng(number)
        return None if number % 7 else (int(rng.integers(2, 48)), int(rng.integers(2, 58)), 12, 3)

    assert run(400, anywhere) == []


@pytest.mark.parametrize(("period", "most"), [(2, 14), (4, 24), (8, 44)])
def test_one_cavity_of_several_is_confirmed_with_its_period(period: int, most: int) -> None:
    alerts = run(120, lambda number: SCRATCH if number % period == 0 else None)
    assert states(alerts) == ["suspected", "confirmed"]
    assert alerts[0].last_sequence <= most
    assert alerts[1].period == period
    assert f"every {period}" in alerts[1].text
    assert alerts[1].hit_rate == pytest.approx(1 / period, abs=0.12)


def test_two_marks_that_begin_together_are_two_alerts() -> None:
    line = Line()
    frames = []
    for number in range(1, 60):
        frame, other = line.frame(number, SCRATCH), line.frame(number, (44, 6, 12, 3))
        picture = np.minimum(frame.picture, other.picture)
        grid = np.maximum(frame.score_grid, other.score_grid)
        frames.append(AlignedFrame(frame.header, picture, grid))
    suspected = [alert for alert in follow(frames)[1] if alert.state is AlertState.SUSPECTED]
    assert len(suspected) == 2
    assert len({alert.alert_id for alert in suspected}) == 2


def test_a_mark_that_stays_on_the_sensor_while_parts_move_is_blamed_on_the_lens() -> None:
    line = Line()
    rng = np.random.default_rng(7)
    frames = []
    for number in range(1, 60):
        dx, dy = (int(v) for v in rng.integers(-14, 15, 2))
        frames.append(
            line.frame(number, hit=(30 - dx, 30 - dy, 3, 3), transform=(1.0, 0.0, float(dx), 0.0, 1.0, float(dy)))
        )
    alerts = follow(frames)[1]
    assert alerts[0].cause is Cause.SENSOR
    assert "lens" in alerts[0].text


def test_the_same_mark_on_moving_parts_is_the_products() -> None:
    line = Line()
    rng = np.random.default_rng(7)
    shifts = [[float(v) for v in rng.integers(-14, 15, 2)] for _ in range(40)]
    alerts = follow(
        line.frame(number, SCRATCH, transform=(1.0, 0.0, dx, 0.0, 1.0, dy)) for number, (dx, dy) in enumerate(shifts, 1)
    )[1]
    assert {alert.cause for alert in alerts} == {Cause.PRODUCT}


def test_a_part_that_changed_all_over_is_one_alert_about_the_process() -> None:
    alerts = follow(Line().frame(number, hit=(0, 0, 64, 64)) for number in range(1, 40))[1]
    assert [alert.cause for alert in alerts] == [Cause.PROCESS] * len(alerts)
    assert states(alerts) == ["suspected", "confirmed"]


def test_a_mark_that_no_part_is_scored_for_is_found_by_the_map_alone() -> None:
    line = Line()

    def unscored(number: int) -> AlignedFrame:
        marked, plain = line.frame(number, SCRATCH), line.frame(number)
        return AlignedFrame(marked.header, marked.picture, plain.score_grid)

    frames = [line.frame(number) if number < 30 else unscored(number) for number in range(1, 70)]
    alerts = follow(frames)[1]
    assert states(alerts) == ["suspected", "confirmed"]
    assert alerts[0].rule == "median_gradient"
    assert 30 <= alerts[0].first_sequence <= 31
    assert alerts[1].gradient_map is not None


def test_a_person_acknowledges_and_the_alert_still_clears_by_itself() -> None:
    line = Line()
    state, alerts = follow(line.frame(number, SCRATCH) for number in range(1, 30))
    identity = alerts[0].alert_id
    assert states(state.acknowledge(identity, START)) == ["acknowledged"]
    assert state.acknowledge(identity, START) == []
    assert state.acknowledge("another", START) == []
    later = follow((line.frame(number) for number in range(30, 90)), state)[1]
    assert states(later) == ["cleared"]


def test_a_new_recipe_does_not_fit_and_closes_what_was_open() -> None:
    line = Line()
    state, _ = follow(line.frame(number, SCRATCH) for number in range(1, 30))
    assert not state.fits(line.frame(30, revision=2))
    closed = state.retire(START)
    assert states(closed) == ["cleared"]
    assert "new recipe" in closed[0].text
    assert state.open_alerts == []


def marked_line(n: int) -> list[AlignedFrame]:
    return [Line().frame(number, SCRATCH if number >= 12 else None) for number in range(1, n + 1)]


FRAMES = marked_line(40)
ORACLE, ORACLE_ALERTS = follow(FRAMES)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_repeats_late_frames_and_restarts_leave_the_state_of_a_single_run(data: st.DataObject) -> None:
    state, alerts, slots = None, [], {}
    for index, frame in enumerate(FRAMES):
        if state is None:
            state = RootCause.start(frame, BASELINE, None)
        alerts += state.update(frame, keep)
        for again in data.draw(st.lists(st.integers(max(index - 5, 0), index), max_size=2)):
            assert state.update(FRAMES[again], keep) == []
        slots |= state.take_changed_slots()
        if data.draw(st.integers(0, 9)) == 0:
            kept = {slot: content for slot, content in slots.items() if content is not None}
            state = RootCause.from_bytes(state.to_bytes(), kept, BASELINE, None)
    assert state is not None
    assert state.to_bytes() == ORACLE.to_bytes()
    assert state.window_hash == ORACLE.window_hash
    assert [encode_alert(alert) for alert in alerts] == [encode_alert(alert) for alert in ORACLE_ALERTS]


def test_a_gap_is_counted_and_changes_nothing_else() -> None:
    line = Line()
    state, _ = follow(line.frame(number) for number in (1, 2, 3, 7, 8))
    assert state.n_lost == 3
    assert state.last_sequence == 8


def test_a_new_boot_of_the_camera_starts_a_new_order_and_keeps_the_window() -> None:
    line = Line()
    state, _ = follow(line.frame(number) for number in range(1, 10))
    state, _ = follow((line.frame(number, epoch="boot2") for number in range(1, 4)), state)
    assert (state.last_epoch, state.last_sequence, state.window.n_frames) == ("boot2", 3, 12)
    before = state.to_bytes()
    follow([line.frame(9), line.frame(3, epoch="boot2"), line.frame(5)], state)
    assert state.to_bytes() == before


def test_frames_without_a_sequence_are_told_apart_by_their_id() -> None:
    line = Line()
    frames = [line.frame(number, sequence=None) for number in range(1, 10)]
    state, _ = follow([frames[0], frames[0], *frames[1:], frames[4]])
    assert state.window.n_frames == 9
    assert state.last_sequence is None


def test_without_a_baseline_the_first_window_becomes_it_and_is_saved_with_the_slots() -> None:
    line = Line()
    frames = [line.frame(number, SCRATCH if number > 30 else None) for number in range(1, 60)]
    state, slots = RootCause.start(frames[0], None, None), {}
    alerts = []
    for frame in frames:
        alerts += state.update(frame, keep)
        slots |= state.take_changed_slots()
        kept = {slot: content for slot, content in slots.items() if content is not None}
        state = RootCause.from_bytes(state.to_bytes(), kept, None, None)
    assert states(alerts) == ["suspected", "confirmed"]
    assert alerts[1].gradient_map is not None


def test_pixels_outside_the_frame_do_not_count() -> None:
    line = Line()
    shifted = (1.0, 0.0, 20.0, 0.0, 1.0, 0.0)
    frames = [line.frame(number, transform=shifted) for number in range(1, 12)]
    state, _ = follow(frames)
    assert (state.window.counts()[0, 5, 50:] == 0).all()
    kept = {slot: c for slot, c in state.take_changed_slots().items() if c is not None}
    assert RootCause.from_bytes(state.to_bytes(), kept, BASELINE, None).window_hash == state.window_hash


def test_a_state_that_cannot_be_read_says_what_to_do() -> None:
    state, _ = follow([Line().frame(1)])
    content = state.to_bytes()
    slots = {slot: c for slot, c in state.take_changed_slots().items() if c is not None}
    with pytest.raises(SetupError, match="version 9"):
        RootCause.from_bytes(content[:4] + b"\x09\x00" + content[6:], slots, BASELINE, None)
    with pytest.raises(SetupError, match="window_state"):
        RootCause.from_bytes(content[:40], slots, BASELINE, None)
    with pytest.raises(SetupError, match="window_state"):
        RootCause.from_bytes(content, {}, BASELINE, None)
    with pytest.raises(SetupError, match="learn it again"):
        RootCause.start(Line(size_px=32, grid=8).frame(1), BASELINE, None)


def test_a_parameter_that_drifts_raises_an_alert_of_cause_process_also_after_a_restart() -> None:
    usual, line, rng = {"Bond Force": UsualSignal(level=35.0, spread=1.6, unit="gf")}, Line(), np.random.default_rng(5)
    forces = [35 + 1.6 * (rng.normal() - (3 if number > 60 else 0)) for number in range(1, 130)]
    frames = [line.frame(number, signals={"Bond Force": force}) for number, force in enumerate(forces, 1)]
    state, alerts = follow(frames[:90], RootCause.start(frames[0], BASELINE, None, usual))
    slots = {slot: content for slot, content in state.take_changed_slots().items() if content is not None}
    again = RootCause.from_bytes(state.to_bytes(), slots, BASELINE, None)
    assert follow(frames[90:], again)[1] == follow(frames[90:], state)[1]
    alerts += state.retire(START)
    assert {alert.cause for alert in alerts} == {Cause.PROCESS}
    assert states(alerts) == ["suspected", "confirmed", "cleared"]
    assert "Bond Force of plate" in alerts[0].text and "drifts down" in alerts[0].text
    assert 60 <= alerts[0].first_sequence <= 66 and alerts[0].last_sequence < 80


def test_without_word_of_what_is_usual_parameters_are_not_watched() -> None:
    line = Line()
    frames = [line.frame(number, signals={"Bond Force": 35.0 + number}) for number in range(1, 80)]
    assert follow(frames)[1] == []

"""The sentence of an alert: what happens where, since when, how often, and what a quality engineer should do."""

from __future__ import annotations

from pipeline.run import RULE_MAP, Run
from schemas.alert import AlertState, Cause

_ADVICE = {
    Cause.PRODUCT: "check what touches the part there (fixture, stamp, gripper)",
    Cause.SENSOR: "the mark stays where it is in the picture while the parts move: clean lens, lamp and cover glass",
    Cause.FIXTURE: "check how the part is seated and the camera mounted",
    Cause.PROCESS: "the whole part changed: check material, lighting and recipe",
}


def sentence(run: Run, station: str, product: str, clear_after_frames: int, retired: bool = False) -> str:
    """One sentence in plain words for `run` in its present state."""
    x, y, w, h = run.box_px
    place = f"at one place (template x {x} to {x + w - 1}, y {y} to {y + h - 1} px)"
    since = f"since part {run.first_sequence}"
    if run.state is AlertState.CLEARED:
        why = (
            "a new recipe took over" if retired else f"the last {clear_after_frames} parts show no more than good ones"
        )
        return f"Cleared: {product} at {station} {place} {since}, {run.n_hits} of {run.n_frames} parts; {why}."
    head = {
        AlertState.SUSPECTED: "Suspected",
        AlertState.CONFIRMED: "Confirmed",
        AlertState.ACKNOWLEDGED: "Acknowledged",
    }[run.state]
    often = f"{run.n_hits} of {run.n_frames} parts"
    if run.period is not None:
        often += f", every {ordinal(run.period)} part (one cavity or carrier of {run.period}?)"
    seen = "shows in the median of the window" if run.shape_seen else "raises the score"
    if run.rule == RULE_MAP:
        seen = "shows in the median of the window though no single part is scored as defective"
    advice = _ADVICE[run.cause]
    return f"{head}: {product} at {station}, a mark {place} {seen}, {often} {since}; {advice}."


def ordinal(number: int) -> str:
    """2nd, 3rd, 4th, ..."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }".replace(" ", "")

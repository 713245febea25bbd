"""Drift of the process: do machine parameters, or the look of good parts, leave what training saw?

Parameters go off before parts go bad. Every signal is standardised by good parts of training and watched by two
one-sided CUSUM charts; one part counts for no more than MOST_SPREADS, so that single defects do not add up to a drift.
A signal that is missing in a frame leaves its charts as they are. Pure and deterministic: the same frames give the
same alerts and the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from pipeline.pose_drift import BACK_TO_USUAL, EVIDENCE_FRAMES, EWMA_WEIGHT, Chart, Run
from schemas.alert import Alert, AlertState, Cause, alert_id
from schemas.aligned import AlignedHeader
from schemas.errors import SetupError
from schemas.verdict import Box

VERSION = 1
ALLOWANCE: Final = 0.75
"""k: drifts below so many usual spreads are never chased; lots differ by less."""
LEVEL_ERROR: Final = 0.4
"""Usual spreads by which a lot may lie off the level training saw; the threshold is set as if it always did."""
MOST_SPREADS = 3.0
RULE = "process_drift"


@dataclass(frozen=True, slots=True)
class UsualSignal:
    """Mean and standard deviation of a signal over good parts, in `unit`."""

    level: float
    spread: float
    unit: str | None


def threshold(arl0_frames: float, n_signals: int) -> float:
    """h of each one-sided chart, in usual spreads, so that all of them together alarm once in `arl0_frames`.

    Source: Siegmund, "Sequential Analysis", 1985, eq. 2.57: ARL = (exp(2kb) - 2kb - 1) / (2 k^2), b = h + 1.166.
    """
    k, wanted = ALLOWANCE - LEVEL_ERROR, arl0_frames * max(2 * n_signals, 1)
    low, high = 0.0, 200.0
    for _ in range(60):
        b = (low + high) / 2
        short = (math.exp(min(2 * k * b, 300.0)) - 2 * k * b - 1) / (2 * k * k) < wanted
        low, high = (b, high) if short else (low, b)
    return max(high - 1.166, 1.0)


class ProcessDrift:
    """The charts of one station, product and recipe revision."""

    def __init__(self, header: AlignedHeader, usual: Mapping[str, UsualSignal], region_px: Box) -> None:
        """Args: header: of the first frame, not yet taken in. usual: by signal; those without a spread are not watched.

        region_px: where alerts point to, in template coordinates.
        """
        self.header, self.region_px = header, region_px
        self.usual = {name: each for name, each in usual.items() if 0 < each.spread < math.inf}
        self.threshold = threshold(header.window.arl0_frames, len(self.usual))
        self.n_frames = 0
        self.charts = {name: Chart(each.level, each.spread) for name, each in self.usual.items()}
        self.runs: list[Run] = []

    def update(self, header: AlignedHeader, values: Mapping[str, float]) -> list[Alert]:
        """Take one frame in, in order. Returns: a record for each alert that changed its state.

        Args: values: signals by name; one that is absent or not finite is missing, one that is not watched is ignored.
        """
        self.n_frames += 1
        changed: list[Run] = []
        for name in self.charts:
            if name in values and math.isfinite(values[name]):
                changed += self._watch(name, values[name], header)
        return [self._record(run, header) for run in changed]

    def acknowledge(self, alert: str, header: AlignedHeader, at: datetime) -> list[Alert]:
        """Note that a person has seen `alert`. Returns: its record, nothing when it is not open or noted already."""
        found = [run for run in self.runs if run.alert_id == alert and run.state is not AlertState.ACKNOWLEDGED]
        for run in found:
            run.state = AlertState.ACKNOWLEDGED
        return [self._record(run, header).model_copy(update={"at": at}) for run in found]

    def retire(self, header: AlignedHeader, at: datetime) -> list[Alert]:
        """Close every open drift because the recipe is no longer in force. Returns: their records."""
        closed, self.runs = self.runs, []
        for run in closed:
            run.state = AlertState.CLEARED
        return [self._record(run, header).model_copy(update={"at": at}) for run in closed]

    def _watch(self, name: str, value: float, header: AlignedHeader) -> list[Run]:
        chart, number = self.charts[name], self._number(header)
        off = min(max((value - chart.level) / chart.spread, -MOST_SPREADS), MOST_SPREADS)
        if chart.up == 0:
            chart.up_since = number
        if chart.down == 0:
            chart.down_since = number
        chart.up = max(0.0, chart.up + off - ALLOWANCE)
        chart.down = max(0.0, chart.down - off - ALLOWANCE)
        chart.ewma += EWMA_WEIGHT * (off - chart.ewma)
        run = next((run for run in self.runs if run.signal == name), None)
        if run is not None:
            return self._follow(run, chart, header)
        if max(chart.up, chart.down) < self.threshold:
            return []
        upward = chart.up >= chart.down
        since = chart.up_since if upward else chart.down_since
        identity = alert_id(header.station, header.product, f"{RULE}.{name}", header.epoch, since)
        first_number = self.n_frames - max(number - since, 0)
        opened = Run(name, identity, AlertState.SUSPECTED, header.epoch, upward, since, first_number)
        opened.frames.append(header.frame_id)
        opened.statistic = max(chart.up, chart.down)
        self.runs.append(opened)
        return [opened]

    def _follow(self, run: Run, chart: Chart, header: AlignedHeader) -> list[Run]:
        """Confirm a drift that lasts a window, clear one that is back to usual."""
        run.statistic = max(run.statistic, chart.up if run.upward else chart.down)
        run.frames = [*run.frames, header.frame_id][-EVIDENCE_FRAMES:]
        run.calm_frames = run.calm_frames + 1 if abs(chart.ewma) < BACK_TO_USUAL else 0
        if run.calm_frames >= self.header.window.clear_after_frames:
            run.state = AlertState.CLEARED
            self.runs.remove(run)
            chart.up = chart.down = 0.0
            return [run]
        lasted = self.n_frames - run.first_number >= self.header.window.frames
        still_off = (chart.ewma if run.upward else -chart.ewma) > ALLOWANCE
        if run.state is AlertState.SUSPECTED and lasted and still_off:
            run.state = AlertState.CONFIRMED
            return [run]
        return []

    def _number(self, header: AlignedHeader) -> int:
        return self.n_frames if header.sequence is None else header.sequence

    def _record(self, run: Run, header: AlignedHeader) -> Alert:
        return Alert(
            alert_id=run.alert_id,
            state=run.state,
            rule=f"{RULE}.{run.signal}",
            cause=Cause.PROCESS,
            station=header.station,
            product=header.product,
            region_px=self.region_px,
            epoch=run.epoch,
            first_sequence=run.first_sequence,
            last_sequence=self._number(header),
            n_frames=max(self.n_frames - run.first_number, 1),
            hit_rate=1.0,
            statistic=run.statistic / self.threshold,
            threshold=1.0,
            arl0_frames=self.header.window.arl0_frames,
            frames=tuple(run.frames),
            gradient_map=None,
            text=self._text(run),
            at=header.captured_at,
        )

    def _text(self, run: Run) -> str:
        where, usual = f"{run.signal} of {self.header.product} at {self.header.station}", self.usual[run.signal]
        if run.state is AlertState.CLEARED:
            return f"{where} is as it used to be again; the drift since part {run.first_sequence} is over."
        now = usual.level + self.charts[run.signal].ewma * usual.spread
        unit = f" {usual.unit}" if usual.unit else ""
        way = "up" if run.upward else "down"
        return (
            f"{where} drifts {way} since part {run.first_sequence}: about {now:.4g}{unit} now, "
            f"{usual.level:.4g}{unit} on good parts (spread {usual.spread:.2g}); check the machine before parts go bad."
        )

    def to_bytes(self) -> bytes:
        """The state as JSON; the same state always gives the same bytes."""
        held = {
            "version": VERSION,
            "header": self.header.model_dump(mode="json"),
            "region_px": self.region_px,
            "n_frames": self.n_frames,
            "usual": {name: asdict(each) for name, each in self.usual.items()},
            "charts": {name: asdict(chart) for name, chart in self.charts.items()},
            "runs": [asdict(run) for run in self.runs],
        }
        return json.dumps(held, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> ProcessDrift:
        """The state saved by `to_bytes`. Raises: SetupError when it is of another version."""
        held: dict[str, Any] = json.loads(content)
        if held.get("version") != VERSION:
            raise SetupError(f"a process-drift state of version {held.get('version')} cannot be read; {VERSION} can")
        usual = {name: UsualSignal(**each) for name, each in held["usual"].items()}
        x, y, w, h = held["region_px"]
        state = cls(AlignedHeader.model_validate(held["header"]), usual, (x, y, w, h))
        state.n_frames = held["n_frames"]
        state.charts = {name: Chart(**chart) for name, chart in held["charts"].items()}
        state.runs = [Run(**{**run, "state": AlertState(run["state"])}) for run in held["runs"]]
        return state

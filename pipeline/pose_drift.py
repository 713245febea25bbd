"""Drift of the fixture: are parts no longer put where they were? Charts on the pose of every aligned frame.

A drifting pose is never a product defect: the parts are good, but what holds them moves. Shift, turn and residual
are standardised by what the first frames showed and watched by two-sided CUSUM charts; an EWMA says how far they
are off now. Pure and deterministic: the same frames give the same alerts and the same bytes.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np

from engines.geometry import pose
from pipeline.pose_signals import SIGNALS
from schemas.alert import Alert, AlertState, Cause, alert_id
from schemas.aligned import AlignedHeader
from schemas.errors import SetupError

VERSION = 1
LEARNING_FRAMES = 100
"""Frames that show how parts usually lie; no alert before."""
ALLOWANCE: Final = 0.75
"""k: drifts below so many usual spreads are never chased."""
BASELINE_ERROR: Final = 0.2
"""Usual spreads by which the learnt level may be off; the threshold is set as if the drift helped by that much."""
MOST_SPREADS = 4.0
"""A single part counts for no more than this."""
EWMA_WEIGHT = 0.1
BACK_TO_USUAL = 0.5
EVIDENCE_FRAMES = 16
RULE = "pose_drift"
RESIDUAL = "residual"


_SCATTERED_DEG = 30.0


@dataclass(slots=True)
class Chart:
    """One signal of one station and product. `level` and `spread` are those learnt; `up`, `down` the CUSUMs."""

    level: float
    spread: float
    up: float = 0.0
    down: float = 0.0
    up_since: int = 0
    down_since: int = 0
    ewma: float = 0.0


@dataclass(slots=True)
class Run:
    """One drift in progress."""

    signal: str
    alert_id: str
    state: AlertState
    epoch: str | None
    upward: bool
    first_sequence: int
    first_number: int
    calm_frames: int = 0
    statistic: float = 0.0
    frames: list[str] = field(default_factory=list)


def threshold(arl0_frames: float) -> float:
    """h of each one-sided chart, in usual spreads, so that all of them together alarm once in `arl0_frames`.

    Source: Siegmund, "Sequential Analysis", 1985, eq. 2.57: ARL = (exp(2kb) - 2kb - 1) / (2 k^2), b = h + 1.166.
    """
    n_charts = sum(1 if signal.upward_only else 2 for signal in SIGNALS.values())
    k, wanted = ALLOWANCE - BASELINE_ERROR, arl0_frames * n_charts
    low, high = 0.0, 100.0
    for _ in range(60):
        b = (low + high) / 2
        short = (math.exp(min(2 * k * b, 300.0)) - 2 * k * b - 1) / (2 * k * k) < wanted
        low, high = (b, high) if short else (low, b)
    return max(high - 1.166, 1.0)


class PoseDrift:
    """The charts of one station, product and recipe revision."""

    def __init__(self, header: AlignedHeader, template_size_px: tuple[int, int]) -> None:
        """Args: header: of the first frame, which is not yet taken in. template_size_px: (width, height)."""
        self.header = header
        self.template_size_px = template_size_px
        self.threshold = threshold(header.window.arl0_frames)
        self.n_frames = 0
        self.last_epoch: str | None = None
        self.last_sequence: int | None = None
        self.learning: list[tuple[float, ...]] = []
        self.charts: dict[str, Chart] = {}
        self.runs: list[Run] = []

    def update(self, header: AlignedHeader, *, marked: bool = False) -> list[Alert]:
        """Take one aligned frame in, in order. Returns: a record for each alert that changed its state.

        Args: marked: the part shows a mark, which raises the residual though nothing is wrong with the fixture: its
            residual is not looked at.
        A frame whose sequence is not beyond the last of its epoch changes nothing.
        """
        if header.sequence is not None:
            known = header.epoch == self.last_epoch and self.last_sequence is not None
            if known and header.sequence <= (self.last_sequence or 0):
                return []
            self.last_epoch, self.last_sequence = header.epoch, header.sequence
        self.n_frames += 1
        values = self._values(header)
        if not self.charts:
            self.learning.append(values)
            if len(self.learning) == LEARNING_FRAMES:
                self._learn()
            return []
        changed: list[Run] = []
        for name, value in zip(SIGNALS, values, strict=True):
            if name in self.charts and not (marked and name == RESIDUAL):
                changed += self._watch(name, value, header)
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

    def _values(self, header: AlignedHeader) -> tuple[float, ...]:
        """dx px, dy px, angle degrees, log residual, in the order of SIGNALS."""
        matrix = np.array(header.transform).reshape(2, 3)
        found = pose(matrix, self.template_size_px, header.frame_size_px)
        return found.dx_px, found.dy_px, found.angle_deg, math.log(max(header.residual, 1e-4))

    def _learn(self) -> None:
        """Level and spread of each signal; a product lying at every angle has no usual turn to leave."""
        seen = np.array(self.learning)
        for index, (name, signal) in enumerate(SIGNALS.items()):
            level = float(np.median(seen[:, index]))
            spread = 1.4826 * float(np.median(np.abs(seen[:, index] - level)))
            if name != "angle" or spread < _SCATTERED_DEG:
                self.charts[name] = Chart(level, max(spread, signal.least_spread), 0, 0, self.n_frames, self.n_frames)
        self.learning = []

    def _watch(self, name: str, value: float, header: AlignedHeader) -> list[Run]:
        chart, number = self.charts[name], self._number(header)
        off = float(np.clip((value - chart.level) / chart.spread, -MOST_SPREADS, MOST_SPREADS))
        if chart.up == 0:
            chart.up_since = number
        if chart.down == 0:
            chart.down_since = number
        chart.up = max(0.0, chart.up + off - ALLOWANCE)
        chart.down = 0.0 if SIGNALS[name].upward_only else max(0.0, chart.down - off - ALLOWANCE)
        chart.ewma += EWMA_WEIGHT * (off - chart.ewma)
        run = next((run for run in self.runs if run.signal == name), None)
        if run is not None:
            return self._follow(run, chart, header)
        if max(chart.up, chart.down) < self.threshold:
            return []
        upward = chart.up >= chart.down
        since = chart.up_since if upward else chart.down_since
        rule = f"{RULE}.{name}"
        identity = alert_id(header.station, header.product, rule, header.epoch, since)
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
        last = self._number(header)
        width, height = self.template_size_px
        return Alert(
            alert_id=run.alert_id,
            state=run.state,
            rule=f"{RULE}.{run.signal}",
            cause=Cause.FIXTURE,
            station=header.station,
            product=header.product,
            region_px=(0, 0, width, height),
            epoch=run.epoch,
            first_sequence=run.first_sequence,
            last_sequence=last,
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
        parts, chart = f"{self.header.product} parts at {self.header.station}", self.charts[run.signal]
        if run.state is AlertState.CLEARED:
            return f"{parts} lie as they used to again; the drift since part {run.first_sequence} is over."
        signal = SIGNALS[run.signal]
        now = signal.describe(run.upward, chart.level, chart.ewma * chart.spread, chart.spread)
        return f"{parts} {now}, since part {run.first_sequence}; check {signal.check}."

    def to_bytes(self) -> bytes:
        """The state as JSON; the same state always gives the same bytes."""
        held = {
            "version": VERSION,
            "header": self.header.model_dump(mode="json"),
            "template_size_px": self.template_size_px,
            "n_frames": self.n_frames,
            "last_epoch": self.last_epoch,
            "last_sequence": self.last_sequence,
            "learning": self.learning,
            "charts": {name: asdict(chart) for name, chart in self.charts.items()},
            "runs": [asdict(run) for run in self.runs],
        }
        return json.dumps(held, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> PoseDrift:
        """The state saved by `to_bytes`. Raises: SetupError when it is of another version."""
        held: dict[str, Any] = json.loads(content)
        if held.get("version") != VERSION:
            raise SetupError(
                f"a pose-drift state of version {held.get('version')} cannot be read; {VERSION} is expected"
            )
        width, height = held["template_size_px"]
        state = cls(AlignedHeader.model_validate(held["header"]), (int(width), int(height)))
        state.n_frames = held["n_frames"]
        state.last_epoch, state.last_sequence = held["last_epoch"], held["last_sequence"]
        state.learning = [tuple(values) for values in held["learning"]]
        state.charts = {name: Chart(**chart) for name, chart in held["charts"].items()}
        state.runs = [Run(**{**run, "state": AlertState(run["state"])}) for run in held["runs"]]
        return state

"""Drift of what is measured on every frame: CUSUM charts, and the alerts they open, confirm and clear.

What pose and process drift share. Signals are standardised by what is usual and watched by two one-sided CUSUM
charts; an EWMA says how far they are off now. Pure and deterministic: the same frames give the same alerts and the
same bytes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from schemas.alert import Alert, AlertState, Cause, alert_id
from schemas.aligned import AlignedHeader
from schemas.verdict import Box

EWMA_WEIGHT = 0.1
EVIDENCE_FRAMES = 16


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


def cusum_threshold(arl0_frames: float, n_charts: int, slack: float) -> float:
    """h of each of `n_charts` one-sided charts, in usual spreads, so that all together alarm once in `arl0_frames`.

    Args: slack: usual spreads that are left of the allowance when a level is as far off as it may be; h is set as if it
        always were.
    Source: Siegmund, "Sequential Analysis", 1985, eq. 2.57: ARL = (exp(2kb) - 2kb - 1) / (2 k^2), b = h + 1.166.
    """
    k, wanted = slack, arl0_frames * n_charts
    low, high = 0.0, 100.0
    for _ in range(60):
        b = (low + high) / 2
        short = (math.exp(min(2 * k * b, 300.0)) - 2 * k * b - 1) / (2 * k * k) < wanted
        low, high = (b, high) if short else (low, b)
    return max(high - 1.166, 1.0)


class Drift(ABC):
    """The charts of one station, product and recipe revision."""

    rule: ClassVar[str]
    cause: ClassVar[Cause]
    most_spreads: ClassVar[float]
    """A single part counts for no more than this."""
    allowance: ClassVar[float]
    """k: drifts below so many usual spreads are never chased."""
    back_to_usual: ClassVar[float]
    """Usual spreads off, on average, below which a drift counts as over."""

    def __init__(self, header: AlignedHeader, region_px: Box, threshold: float) -> None:
        """Args: header: of the first frame, which is not yet taken in. region_px: where alerts point to (template)."""
        self.header = header
        self.region_px = region_px
        self.threshold = threshold
        self.n_frames = 0
        self.charts: dict[str, Chart] = {}
        self.runs: list[Run] = []

    @abstractmethod
    def _text(self, run: Run) -> str:
        """What an alert says of `run`."""

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

    def _watch(self, name: str, value: float, header: AlignedHeader, *, upward_only: bool = False) -> list[Run]:
        """Take one value of a signal in. Returns: the run that changed its state by it, if one did."""
        chart, number = self.charts[name], self._number(header)
        off = min(max((value - chart.level) / chart.spread, -self.most_spreads), self.most_spreads)
        if chart.up == 0:
            chart.up_since = number
        if chart.down == 0:
            chart.down_since = number
        chart.up = max(0.0, chart.up + off - self.allowance)
        chart.down = 0.0 if upward_only else max(0.0, chart.down - off - self.allowance)
        chart.ewma += EWMA_WEIGHT * (off - chart.ewma)
        run = next((run for run in self.runs if run.signal == name), None)
        if run is not None:
            return self._follow(run, chart, header)
        if max(chart.up, chart.down) < self.threshold:
            return []
        upward = chart.up >= chart.down
        since = chart.up_since if upward else chart.down_since
        identity = alert_id(header.station, header.product, f"{self.rule}.{name}", header.epoch, since)
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
        run.calm_frames = run.calm_frames + 1 if abs(chart.ewma) < self.back_to_usual else 0
        if run.calm_frames >= self.header.window.clear_after_frames:
            run.state = AlertState.CLEARED
            self.runs.remove(run)
            chart.up = chart.down = 0.0
            return [run]
        lasted = self.n_frames - run.first_number >= self.header.window.frames
        still_off = (chart.ewma if run.upward else -chart.ewma) > self.allowance
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
            rule=f"{self.rule}.{run.signal}",
            cause=self.cause,
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

    def _held_charts(self) -> dict[str, Any]:
        """Charts and runs as they are saved."""
        return {
            "charts": {name: asdict(chart) for name, chart in self.charts.items()},
            "runs": [asdict(run) for run in self.runs],
        }

    def _take_charts(self, held: dict[str, Any]) -> None:
        """Take up what `_held_charts` saved."""
        self.charts = {name: Chart(**chart) for name, chart in held["charts"].items()}
        self.runs = [Run(**{**run, "state": AlertState(run["state"])}) for run in held["runs"]]

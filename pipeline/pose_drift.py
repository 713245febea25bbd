"""Drift of the fixture: are parts no longer put where they were? Charts on the pose of every aligned frame.

A drifting pose is never a product defect: the parts are good, but what holds them moves. Shift, turn and residual
are standardised by what the first frames showed and watched by two-sided CUSUM charts; an EWMA says how far they
are off now. Pure and deterministic: the same frames give the same alerts and the same bytes.
"""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar, Final

import numpy as np

from engines.geometry import pose
from pipeline.drift import Chart, Drift, Run, cusum_threshold
from pipeline.pose_signals import SIGNALS
from schemas.alert import Alert, AlertState, Cause
from schemas.aligned import AlignedHeader
from schemas.errors import SetupError

VERSION = 1
LEARNING_FRAMES = 100
"""Frames that show how parts usually lie; no alert before."""
ALLOWANCE: Final = 0.75
LEVEL_ERROR: Final = 0.2
"""Usual spreads by which the learnt level may be off."""
RESIDUAL = "residual"
_SCATTERED_DEG = 30.0


def threshold(arl0_frames: float) -> float:
    """h of each one-sided chart, in usual spreads, so that all of them together alarm once in `arl0_frames`."""
    n_charts = sum(1 if signal.upward_only else 2 for signal in SIGNALS.values())
    return cusum_threshold(arl0_frames, n_charts, ALLOWANCE - LEVEL_ERROR)


class PoseDrift(Drift):
    """The charts of one station, product and recipe revision."""

    rule: ClassVar[str] = "pose_drift"
    cause: ClassVar[Cause] = Cause.FIXTURE
    most_spreads: ClassVar[float] = 4.0
    allowance: ClassVar[float] = ALLOWANCE
    back_to_usual: ClassVar[float] = 0.5

    def __init__(self, header: AlignedHeader, template_size_px: tuple[int, int]) -> None:
        """Args: header: of the first frame, which is not yet taken in. template_size_px: (width, height)."""
        super().__init__(header, (0, 0, *template_size_px), threshold(header.window.arl0_frames))
        self.template_size_px = template_size_px
        self.last_epoch: str | None = None
        self.last_sequence: int | None = None
        self.learning: list[tuple[float, ...]] = []

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
                changed += self._watch(name, value, header, upward_only=SIGNALS[name].upward_only)
        return [self._record(run, header) for run in changed]

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
            **self._held_charts(),
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
        state._take_charts(held)
        return state

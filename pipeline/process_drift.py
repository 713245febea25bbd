"""Drift of the process: do machine parameters, or the look of good parts, leave what training saw?

Parameters go off before parts go bad. Every signal is standardised by good parts of training and watched as
`pipeline.drift` has it; single defects count for too little to add up to a drift. A signal that is missing in a frame
leaves its charts as they are. Pure and deterministic: the same frames give the same alerts and the same bytes.
"""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar, Final

from pipeline.drift import Chart, Drift, Run, cusum_threshold
from pipeline.process_signals import PICTURE, Usual, UsualSignal
from schemas.alert import Alert, AlertState, Cause
from schemas.aligned import AlignedHeader
from schemas.errors import SetupError
from schemas.verdict import Box

VERSION = 1
ALLOWANCE: Final = 1.75
LEVEL_ERROR: Final = 1.25
"""Usual spreads by which a lot may lie off the level that training saw in a few lots: a lot is no drift."""


def threshold(arl0_frames: float, n_signals: int) -> float:
    """h of each one-sided chart, in usual spreads, so that all of them together alarm once in `arl0_frames`."""
    return cusum_threshold(arl0_frames, max(2 * n_signals, 1), ALLOWANCE - LEVEL_ERROR)


class ProcessDrift(Drift):
    """The charts of one station, product and recipe revision."""

    rule: ClassVar[str] = "process_drift"
    cause: ClassVar[Cause] = Cause.PROCESS
    most_spreads: ClassVar[float] = 4.0
    allowance: ClassVar[float] = ALLOWANCE
    back_to_usual: ClassVar[float] = 1.25

    def __init__(self, header: AlignedHeader, usual: Usual, region_px: Box) -> None:
        """Args: header: of the first frame, not yet taken in. usual: by signal; those without a spread are not watched.

        region_px: where alerts point to, in template coordinates.
        """
        self.usual = {name: each for name, each in usual.items() if 0 < each.spread < math.inf}
        super().__init__(header, region_px, threshold(header.window.arl0_frames, len(self.usual)))
        self.charts = {name: Chart(each.level, each.spread) for name, each in self.usual.items()}

    def update(self, header: AlignedHeader) -> list[Alert]:
        """Take one frame in, in order. Returns: a record for each alert that changed its state.

        Of `header.signals` one that is absent is missing, one that is not watched is ignored.
        """
        self.n_frames += 1
        changed: list[Run] = []
        for name in self.charts:
            if name in header.signals:
                changed += self._watch(name, header.signals[name], header, upward_only=name == PICTURE)
        return [self._record(run, header) for run in changed]

    def _text(self, run: Run) -> str:
        if run.signal == PICTURE:
            return self._picture_text(run)
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

    def _picture_text(self, run: Run) -> str:
        parts = f"pictures of {self.header.product} parts at {self.header.station}"
        if run.state is AlertState.CLEARED:
            return f"The {parts} are as they used to be again; what began with part {run.first_sequence} is over."
        return (
            f"The {parts} look less and less like those the recipe was taught from, since part {run.first_sequence}: "
            "look at lamp, lens and focus, then at the parts; fused verdicts are worth less until then."
        )

    def to_bytes(self) -> bytes:
        """The state as JSON; the same state always gives the same bytes."""
        held = {
            "version": VERSION,
            "header": self.header.model_dump(mode="json"),
            "region_px": self.region_px,
            "n_frames": self.n_frames,
            "usual": {name: each.model_dump() for name, each in self.usual.items()},
            **self._held_charts(),
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
        state._take_charts(held)
        return state

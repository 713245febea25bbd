"""What is watched on the pose of aligned frames, and how to tell an engineer about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Signal:
    """One number of a pose. `least_spread`: differences below it are not worth speaking of, in `unit`."""

    unit: str
    least_spread: float
    low: str
    high: str
    check: str
    upward_only: bool = False
    logarithmic: bool = False

    def describe(self, upward: bool, level: float, off: float, spread: float) -> str:
        """How parts differ now: `off` from the usual `level`, whose usual spread is `spread`, all in `unit`."""
        if self.logarithmic:
            return f"{self.high} than before: {math.exp(level + off):.3g}, usually {math.exp(level):.3g}"
        usual = f"usual spread {spread:.2g} {self.unit}"
        return f"{self.high if upward else self.low} than before by {abs(off):.3g} {self.unit} ({usual})"


_FIXTURE = "the fixture and its stops"
SIGNALS: Final[dict[str, Signal]] = {
    "dx": Signal("px", 0.05, "lie further left", "lie further right", _FIXTURE),
    "dy": Signal("px", 0.05, "lie higher", "lie lower", _FIXTURE),
    "angle": Signal("degrees", 0.01, "are turned further clockwise", "are turned further counter-clockwise", _FIXTURE),
    "residual": Signal(
        "nepers",
        0.05,
        "fit their template better",
        "fit their template worse",
        "clamping, lamp, lens and focus",
        upward_only=True,
        logarithmic=True,
    ),
}
"""By name, in the order in which they are computed from a frame."""

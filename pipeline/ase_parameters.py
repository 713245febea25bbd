"""The machine parameters an ASE-like inspection prints: what they are, how they belong together, what defects do.

Values follow a few hidden factors (bond energy, tilt, film thickness), so that a defect shows in how parameters
belong together as well as in how large they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

UNITS_PER_LOT = 50
_LOT_SHIFT = 0.35
"""Standard deviation of a lot's offset, in standard deviations of the parameter."""


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """One printed parameter. `mean` and `spread` (standard deviation) are those of good parts; `signed` prints +."""

    name: str
    unit: str | None
    decimals: int
    mean: float
    spread: float
    low: float
    high: float
    group: int
    signed: bool = False

    def text(self, value: float) -> str:
        """The number as the machine prints it."""
        shown = f"{value:+.{self.decimals}f}" if self.signed else f"{value:.{self.decimals}f}"
        return shown.replace("-", "+" if self.signed else "", 1) if float(shown) == 0 else shown


PARAMETERS = (
    ParameterSpec("Bond Force", "gf", 1, 35.0, 1.6, 0.0, 99.9, 0),
    ParameterSpec("Bond Time", "ms", 1, 18.0, 0.8, 0.0, 99.9, 0),
    ParameterSpec("US Power", "mW", 0, 118.0, 5.0, 0.0, 999.0, 0),
    ParameterSpec("US Current", "mA", 0, 96.0, 3.0, 0.0, 999.0, 0),
    ParameterSpec("US Voltage", "V", 3, 1.23, 0.04, 0.0, 9.999, 0),
    ParameterSpec("Stage Temp", "°C", 1, 148.3, 1.5, 20.0, 250.0, 1),
    ParameterSpec("Tilt X", "deg", 2, 0.0, 0.11, -5.0, 5.0, 1),
    ParameterSpec("Tilt Y", "deg", 2, 0.0, 0.11, -5.0, 5.0, 1),
    ParameterSpec("BLT", "um", 1, 24.5, 1.1, 0.0, 99.9, 2),
    ParameterSpec("Height Min", "um", 1, 152.0, 1.8, 0.0, 999.9, 2),
    ParameterSpec("Height Avg", "um", 1, 160.0, 1.4, 0.0, 999.9, 2),
    ParameterSpec("Height Max", "um", 1, 168.0, 1.8, 0.0, 999.9, 2),
    ParameterSpec("Offset X", "um", 1, 0.0, 2.4, -99.9, 99.9, 3, signed=True),
    ParameterSpec("Offset Y", "um", 1, 0.0, 2.4, -99.9, 99.9, 3, signed=True),
    ParameterSpec("Coverage", "%", 1, 97.4, 0.7, 0.0, 100.0, 3),
    ParameterSpec("Gray Mean", None, 0, 121.0, 5.0, 0.0, 255.0, 3),
)
"""What the machine prints, in order. US Power = US Current x US Voltage; Height Min <= Avg <= Max."""

WEARS = "Bond Force"
FAULTS = ("weak_bond", "tilted", "starved", "uncoupled", "displaced")
_MOVES: Mapping[str, Mapping[str, float]] = {
    "weak_bond": {
        "Bond Force": -0.8,
        "US Current": -0.8,
        "Bond Time": -0.5,
        "BLT": 0.6,
        "Height Avg": 0.6,
        "Coverage": -0.4,
    },
    "tilted": {"Coverage": -0.4, "Gray Mean": -0.5, "Bond Force": -0.3},
    "starved": {"Coverage": -0.9, "BLT": -0.6, "Height Avg": -0.6, "Gray Mean": -0.5, "Stage Temp": 0.3},
    "uncoupled": {"Stage Temp": 0.5, "Bond Time": 0.5},
    "displaced": {"Gray Mean": 0.4, "Coverage": -0.6, "Height Avg": 0.3},
}
"""How far each cause moves what it touches, in shares of its severity: one physical cause shows in several numbers."""
_MOVES_EITHER_WAY: Mapping[str, Mapping[str, float]] = {
    "uncoupled": {"Bond Force": 0.75, "US Current": -0.75, "US Voltage": 0.6, "BLT": -0.4},
}
_MOVES_TO_A_SIDE: Mapping[str, Mapping[str, float]] = {
    "tilted": {"Tilt": 1.0, "Offset": 0.5},
    "displaced": {"Offset": 1.1, "Tilt": 0.5},
}
_HEIGHTS_SPREAD: Mapping[str, float] = {"tilted": 1.1, "displaced": 0.5}
"""How far it moves the least and the greatest height apart, in um for each standard deviation."""


def draw_values(rng: np.random.Generator, lot_rng: np.random.Generator, severity: float) -> Mapping[str, float]:
    """True values of one part, rounded as printed.

    Args: lot_rng: a generator that begins the same for every part of a lot. severity: 0 for a good part, else how
        many standard deviations the fault moves what it touches.
    """
    lot = _LOT_SHIFT * lot_rng.standard_normal(len(PARAMETERS))
    own = rng.standard_normal(len(PARAMETERS))
    energy, film = rng.standard_normal(2)
    z = dict(zip((each.name for each in PARAMETERS), np.sqrt(1 - _LOT_SHIFT**2) * own + lot, strict=True))
    z["Bond Force"] = 0.8 * energy + 0.6 * z["Bond Force"]
    z["US Current"] = 0.8 * energy + 0.6 * z["US Current"]
    z["Coverage"] = 0.7 * film + 0.7 * z["Coverage"]
    z["BLT"] = 0.7 * film + 0.7 * z["BLT"]
    spread = 0.0
    if severity > 0:
        spread = _spoil(z, FAULTS[int(rng.integers(len(FAULTS)))], severity, rng)
    values = {each.name: each.mean + each.spread * z[each.name] for each in PARAMETERS}
    _hold_together(values, z, spread)
    return MappingProxyType(
        {each.name: round(float(np.clip(values[each.name], each.low, each.high)), each.decimals) for each in PARAMETERS}
    )


def typical_values(fault: str, severity: float, side: float = 1.0, angle_rad: float = 0.0) -> Mapping[str, float]:
    """What parts with `fault` show on average, not rounded.

    Args: side: 1 or -1, for what goes either way. angle_rad: where to, for what goes to a side.
    """
    z = dict.fromkeys((each.name for each in PARAMETERS), 0.0)
    spread_um = _move(z, fault, severity, side, angle_rad)
    values = {each.name: each.mean + each.spread * z[each.name] for each in PARAMETERS}
    _hold_together(values, z, spread_um)
    return values


def worn(values: Mapping[str, float], spreads: float) -> Mapping[str, float]:
    """`values` of a machine whose transducer wears: its bond force is so many standard deviations lower."""
    spec = next(each for each in PARAMETERS if each.name == WEARS)
    lower = max(values[WEARS] - spreads * spec.spread, spec.low)
    return MappingProxyType({**values, WEARS: round(lower, spec.decimals)})


def _spoil(z: dict[str, float], fault: str, severity: float, rng: np.random.Generator) -> float:
    """Move what `fault` touches; how far the heights spread beyond the usual, in um."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    return _move(z, fault, severity, side, float(rng.uniform(0, 2 * np.pi)))


def _move(z: dict[str, float], fault: str, severity: float, side: float, angle_rad: float) -> float:
    for name, share in _MOVES[fault].items():
        z[name] += share * severity
    for name, share in _MOVES_EITHER_WAY.get(fault, {}).items():
        z[name] += share * side * severity
    for what, share in _MOVES_TO_A_SIDE.get(fault, {}).items():
        z[f"{what} X"] += share * severity * np.cos(angle_rad)
        z[f"{what} Y"] += share * severity * np.sin(angle_rad)
    return _HEIGHTS_SPREAD.get(fault, 0.0) * severity


def _hold_together(values: dict[str, float], z: Mapping[str, float], spread_um: float) -> None:
    """What physics ties: power is current times voltage, heights lie in order."""
    current, voltage = round(values["US Current"]), round(values["US Voltage"], 3)
    values["US Power"] = current * voltage
    middle = values["Height Avg"]
    values["Height Min"] = middle - max(8 + 1.2 * z["Height Min"] + spread_um, 0.5)
    values["Height Max"] = middle + max(8 + 1.2 * z["Height Max"] + spread_um, 0.5)
    values["Coverage"] = min(values["Coverage"], 100.0)

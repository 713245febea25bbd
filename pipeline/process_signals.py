"""What is watched of the process: every number of the machine, and how far a part's picture is from training.

usual.json, a bundle member, says what each signal is on good parts; aligned frames carry the signals of their frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from engines.bundle import USUAL, Bundle
from schemas.errors import SetupError
from schemas.verdict import FieldReading, FieldStatus

if TYPE_CHECKING:
    from pipeline.fusion_members import Fused

PICTURE = "picture"
"""The signal that says how far a part's picture is from those of training: log of the mean squared deviation."""
LEAST_PARTS = 20
"""Good parts that must have shown a signal; fewer do not say what is usual."""
_KNOWN = (FieldStatus.READ, FieldStatus.MISMATCH)


class UsualSignal(BaseModel):
    """Mean and standard deviation of a signal over good parts, in `unit`."""

    model_config = ConfigDict(frozen=True)

    level: float
    spread: float
    unit: str | None = None


class _Usual(BaseModel):
    signals: dict[str, UsualSignal]


Usual = Mapping[str, UsualSignal]


def signals_of(fields: Sequence[FieldReading], fused: Fused | None) -> dict[str, float]:
    """The signals of one frame: numbers that are known, digital ones where they contradict the print, and PICTURE."""
    known = ((field.name, field.value) for field in fields if field.status in _KNOWN)
    signals = {name: float(value) for name, value in known if isinstance(value, float | int) and math.isfinite(value)}
    if fused is not None and math.isfinite(fused.picture_distance):
        signals[PICTURE] = fused.picture_distance
    return signals


def learn_usual(names: Sequence[str], values: NDArray[np.float64], units: Mapping[str, str | None]) -> Usual:
    """What is usual of `values` (n, F) of good parts, NaN where missing, in the order of `names`.

    Signals that fewer than LEAST_PARTS show, or that never vary, are left out. Spreads are one standard error greater
    than they came out: too small a one would alarm for nothing.
    """
    usual: dict[str, UsualSignal] = {}
    for name, column in zip(names, values.T, strict=True):
        seen = column[np.isfinite(column)]
        if len(seen) < LEAST_PARTS:
            continue
        level, spread = float(seen.mean()), float(seen.std(ddof=1)) * (1 + 1 / math.sqrt(2 * len(seen)))
        if spread > 1e-9 * (1 + abs(level)):
            usual[name] = UsualSignal(level=level, spread=spread, unit=units.get(name))
    return usual


def usual_member(usual: Usual) -> dict[str, bytes]:
    """The file for the bundle; none when nothing is usual."""
    content = _Usual(signals=dict(usual)).model_dump_json(indent=1).encode()
    return {USUAL: content} if usual else {}


def usual_of_bundle(bundle: Bundle) -> Usual:
    """What a bundle says is usual; nothing when it carries no parameters. Raises: SetupError when it is damaged."""
    content = bundle.members.get(USUAL)
    if content is None:
        return {}
    try:
        return _Usual.model_validate_json(content).signals
    except ValidationError as exc:
        raise SetupError(f"bundle member {USUAL} is damaged ({exc.error_count()} faults); train it again") from exc

"""`sightline bench process`: how soon a machine parameter's drift is told, and how often nothing is.

Printed parameters of the simulated machine (pipeline/ase_parameters.py), whose lots lie off one another, watched as
the root-cause agent watches them, against what 80 good parts showed. False alarms are counted over lines on which a
share of the parts is defective. `ours` and `baseline` are parts until a drift of three standard deviations is told,
medians; the baseline is a Shewhart chart of each parameter with limits for the same rate of false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from pipeline.ase_parameters import PARAMETERS, UNITS_PER_LOT, draw_values
from pipeline.process_drift import LEVEL_ERROR, ProcessDrift
from pipeline.process_signals import Usual, learn_usual
from schemas.aligned import AlignedHeader
from schemas.recipe import WindowSettings

N_GOOD, N_LINES, N_STARTS = 80, 8, 20
DEFECTIVE_SHARES = (0.0, 0.03, 0.4)
SHIFTS_SPREADS = (2.5, 3.0, 4.0)
_SEVERITY_SPREADS = 4.0
_PATIENCE_PARTS = 400
_TRAINED_FROM, _DRIFTS_FROM = 900_000, 500_000
_NAMES = tuple(each.name for each in PARAMETERS)
_FRAME = AlignedHeader(
    frame_id="0", station="bench/line1/cam0", product="ase", captured_at=datetime(2026, 1, 1, tzinfo=UTC), epoch="boot",
    sequence=0, bundle_sha256="0" * 64, template_sha256="0" * 64, recipe_revision=1, score=0.0, residual=0.0,
    cell_threshold=1.0, transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), frame_size_px=(64, 64), window=WindowSettings(),
)  # fmt: skip


def run(frames: int = 10_000) -> BenchResult:
    """Watch. Args: frames: parts of each line and share of defective ones."""
    alarms = dict.fromkeys(DEFECTIVE_SHARES, 0)
    delays: dict[float, list[int]] = {shift: [] for shift in SHIFTS_SPREADS}
    for seed in range(N_LINES):
        say(f"line {seed + 1} of {N_LINES}")
        usual = learnt(seed)
        for share in DEFECTIVE_SHARES:
            alarms[share] += false_alarms(seed, usual, share, frames)
        for shift in SHIFTS_SPREADS:
            delays[shift] += [delay(seed, usual, shift, start) for start in range(N_STARTS)]
    ours, baseline = float(np.median(delays[3.0])), shewhart_delay(3.0, _FRAME.window.arl0_frames)
    figures: dict[str, Json] = {
        "unit": "parts until a drift of 3 standard deviations is told",
        "arl0_frames": _FRAME.window.arl0_frames,
        "n_parts": N_LINES * frames,
        "false_alarms": {f"{share:g}": count for share, count in alarms.items()},
        "delay_parts": {
            f"{shift:g}": {
                "median": float(np.median(found)),
                "p90": float(np.quantile(found, 0.9)),
                "shewhart": round(shewhart_delay(shift, _FRAME.window.arl0_frames)),
            }
            for shift, found in delays.items()
        },
    }
    return BenchResult("process", ours, baseline, baseline / ours, figures, machine())


def learnt(seed: int) -> Usual:
    """What N_GOOD good parts in a row show of line `seed`."""
    parts = [_values(seed, _TRAINED_FROM + number, 0.0) for number in range(N_GOOD)]
    return learn_usual(_NAMES, np.array([[part[name] for name in _NAMES] for part in parts]), {})


def false_alarms(seed: int, usual: Usual, defective_share: float, n: int) -> int:
    """Alerts on `n` parts of a machine that does not drift."""
    rng = np.random.default_rng([seed, round(1000 * defective_share)])
    bad: NDArray[np.bool_] = rng.random(n) < defective_share
    parts = (_values(seed, number, _SEVERITY_SPREADS * bool(bad[number])) for number in range(n))
    return len(set(_alerts(usual, parts)))


def delay(seed: int, usual: Usual, shift_spreads: float, start: int) -> int:
    """Parts until Bond Force, `shift_spreads` too low from the first part on, is told; at most _PATIENCE_PARTS."""
    spread = next(each.spread for each in PARAMETERS if each.name == "Bond Force")
    drift = ProcessDrift(_FRAME, usual, (0, 0, 64, 64))
    for number in range(_PATIENCE_PARTS):
        part = dict(_values(seed, _DRIFTS_FROM + start * _PATIENCE_PARTS + number, 0.0))
        part["Bond Force"] -= shift_spreads * spread
        if any("Bond Force" in alert.rule for alert in drift.update(_frame(number, part))):
            return number + 1
    return _PATIENCE_PARTS


def shewhart_delay(shift_spreads: float, arl0_frames: float) -> float:
    """Mean parts until a value lies beyond limits that lots, LEVEL_ERROR off, cross once in `arl0_frames` parts."""
    normal = NormalDist()
    limit = LEVEL_ERROR - normal.inv_cdf(1 / (arl0_frames * 2 * len(PARAMETERS)))
    return 1 / max(normal.cdf(shift_spreads - limit), math.ulp(1.0))


def _alerts(usual: Usual, parts: Iterator[Mapping[str, float]]) -> Iterator[str]:
    drift = ProcessDrift(_FRAME, usual, (0, 0, 64, 64))
    for number, part in enumerate(parts):
        yield from (alert.alert_id for alert in drift.update(_frame(number, part)))


def _values(seed: int, number: int, severity: float) -> Mapping[str, float]:
    lot = np.random.default_rng([seed, 1, number // UNITS_PER_LOT])
    return draw_values(np.random.default_rng([seed, 0, number]), lot, severity)


def _frame(number: int, signals: Mapping[str, float]) -> AlignedHeader:
    return _FRAME.model_copy(update={"frame_id": str(number), "sequence": number, "signals": signals})

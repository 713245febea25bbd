"""How honest the reader's probability is: on lines it never saw, from perfect to illegible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.result import Json
from engines.reader import Reader
from engines.reader_lines import random_line

_WIDTH_PX, _BATCH = 112, 100
_THRESHOLDS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Probabilities (n,) that the reader stated, and whether it was right (n,)."""

    stated: NDArray[np.float64]
    right: NDArray[np.bool_]

    def error(self, n_bins: int = 10) -> float:
        """Expected calibration error: mean distance between stated and observed, over bins of equal width."""
        bins = np.minimum((self.stated * n_bins).astype(np.int64), n_bins - 1)
        total = 0.0
        for each in range(n_bins):
            inside = bins == each
            if inside.any():
                total += inside.mean() * abs(float(self.stated[inside].mean()) - float(self.right[inside].mean()))
        return total

    def figures(self) -> dict[str, Json]:
        """For every threshold: how many lines are abstained, and how many of the accepted are wrong."""
        rows = {}
        for threshold in _THRESHOLDS:
            accepted = self.stated >= threshold
            rows[f"{threshold:g}"] = {
                "abstain_rate": round(float(1 - accepted.mean()), 4),
                "wrong_of_accepted": round(float(np.mean(~self.right[accepted])), 5) if accepted.any() else None,
            }
        return {"n_lines": len(self.stated), "calibration_error": round(self.error(), 4), "thresholds": rows}


def calibrate(reader: Reader, n: int, seed: int = 1999) -> Calibration:
    """Read `n` lines that show a number, out of all kinds of lines."""
    rng = np.random.default_rng([seed, 3])
    stated: list[float] = []
    right: list[bool] = []
    while len(stated) < n:
        lines = [random_line(rng, _WIDTH_PX) for _ in range(_BATCH)]
        for (_, text), read in zip(lines, reader.read(np.stack([crop for crop, _ in lines])), strict=True):
            if text[:1].isdigit() or text[:1] in ("+", "-"):
                stated.append(read.probability)
                right.append(read.text == text)
    return Calibration(np.array(stated[:n]), np.array(right[:n]))

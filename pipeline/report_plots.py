"""The plots of report.png, drawn with OpenCV into a piece of the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.calibration import Choice
from schemas.verdict import Thresholds

FONT = cv2.FONT_HERSHEY_SIMPLEX
INK, PAPER = (40, 40, 40), 250
REVIEW, FAIL = (0, 150, 230), (40, 40, 210)
_GOOD, _BAD, _GRID = (170, 120, 60), (60, 60, 200), (215, 215, 215)
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 44, 24, 30, 38
_N_BINS = 60

Picture = NDArray[np.uint8]


def histogram(area: Picture, good: NDArray[np.float64], bad: NDArray[np.float64] | None, limits: Thresholds) -> None:
    """Histogram of the held-out scores `good` (n,), and of `bad` (m,), with both thresholds, in `area` (H, W, 3)."""
    height, width = area.shape[:2]
    everything = good if bad is None else np.concatenate((good, bad))
    low, high = float(everything.min()), max(float(np.quantile(everything, 0.98)), limits.fail) * 1.08
    base = height - _BOTTOM_PX

    def column(score: float) -> int:
        return _LEFT_PX + int((min(score, high) - low) / (high - low) * (width - _LEFT_PX - _RIGHT_PX) + 0.5)

    edges = np.linspace(low, high, _N_BINS + 1)
    for scores, colour in ((good, _GOOD), (bad, _BAD)):
        if scores is None or not len(scores):
            continue
        counts, _ = np.histogram(np.minimum(scores, high), edges)
        for count, start, end in zip(counts, edges[:-1], edges[1:], strict=True):
            if count:
                rise = round((base - _TOP_PX) * count / counts.max())
                cv2.rectangle(area, (column(start), base - rise), (column(end) - 1, base), colour, -1)
    cv2.line(area, (_LEFT_PX, base), (width - _RIGHT_PX, base), INK, 1)
    for score, colour, name, down in ((limits.review, REVIEW, "review", 10), (limits.fail, FAIL, "fail", 26)):
        cv2.line(area, (column(score), _TOP_PX), (column(score), base), colour, 2)
        cv2.putText(area, name, (column(score) + 4, _TOP_PX + down), FONT, 0.42, colour, 1, cv2.LINE_AA)
    for score in np.linspace(low, high, 6):
        cv2.putText(area, f"{score:.2f}", (column(score) - 12, base + 16), FONT, 0.38, INK, 1, cv2.LINE_AA)
    title = "Frame scores of good parts (blue), each by a model that has not seen it"
    title += "" if bad is None or not len(bad) else "; of defective parts (red)"
    cv2.putText(area, title, (_LEFT_PX, 18), FONT, 0.42, INK, 1, cv2.LINE_AA)


def trade_off_curves(
    area: Picture, curves: Mapping[str, Sequence[Choice]], totals: Mapping[str, int], target_per_1000: float
) -> None:
    """What share of each kind of defect every target of false calls would stop, in `area` (H, W, 3)."""
    height, width = area.shape[:2]
    base, targets = height - _BOTTOM_PX, [each.false_calls_per_1000 for each in next(iter(curves.values()))]
    first, last = math.log(targets[0]), math.log(targets[-1])

    def place(target: float, share: float) -> tuple[int, int]:
        along = (math.log(min(max(target, targets[0]), targets[-1])) - first) / (last - first)
        return _LEFT_PX + round(along * (width - _LEFT_PX - _RIGHT_PX)), round(base - share * (base - _TOP_PX))

    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        cv2.line(area, place(targets[0], share), place(targets[-1], share), _GRID, 1)
        cv2.putText(area, f"{share:.0%}", (4, place(1, share)[1] + 4), FONT, 0.36, INK, 1, cv2.LINE_AA)
    for target in targets:
        cv2.putText(area, f"{target:g}", (place(target, 0)[0] - 6, base + 16), FONT, 0.36, INK, 1, cv2.LINE_AA)
    cv2.line(area, place(target_per_1000, 0), place(target_per_1000, 1), REVIEW, 1)
    for number, ((name, curve), colour) in enumerate(zip(curves.items(), (_GOOD, _BAD), strict=False)):
        points = [place(each.false_calls_per_1000, each.n_stopped / max(totals[name], 1)) for each in curve]
        cv2.polylines(area, [np.array(points, np.int32)], False, colour, 2, cv2.LINE_AA)
        cv2.putText(area, name, (width - _RIGHT_PX - 130, base - 8 - 16 * number), FONT, 0.42, colour, 1, cv2.LINE_AA)
    title = "Share stopped, by false calls asked for in 1000 good parts"
    cv2.putText(area, title, (_LEFT_PX - 30, 18), FONT, 0.42, INK, 1, cv2.LINE_AA)

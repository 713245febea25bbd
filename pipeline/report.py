"""report.png: what training saw, for people: template, scored region, nearest and farthest good parts, thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipeline.training import TrainedModel

Picture = NDArray[np.uint8]
_TILE_PX, _GAP_PX, _HEADER_PX, _PLOT_PX = 200, 12, 30, 230
_INK, _PAPER, _BARS = (40, 40, 40), 250, (170, 120, 60)
_REVIEW, _FAIL, _BAD = (0, 150, 230), (40, 40, 210), (60, 60, 200)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_report(product: str, trained: TrainedModel, bad_scores: NDArray[np.float64] | None = None) -> bytes:
    """PNG bytes. `bad_scores` (m,): scores of known defective parts, drawn beside those of the good ones."""
    order = np.argsort(trained.scores)
    shown = [order[0], order[len(order) // 2], order[-2], order[-1]]
    tiles = [_tile(trained.template, "template"), _tile(_foreground(trained), "scored region")]
    tiles += [_tile(trained.aligned[i].grey, f"good {trained.scores[i]:.2f}") for i in shown]
    strip = np.hstack(tiles)
    canvas = np.full((_HEADER_PX + strip.shape[0] + _PLOT_PX, strip.shape[1], 3), _PAPER, np.uint8)
    canvas[_HEADER_PX : _HEADER_PX + strip.shape[0]] = strip
    fit = trained.calibration
    title = (
        f"{product}: {len(trained.used)} good parts, {len(trained.refused)} refused, {len(trained.suspects)} suspect; "
        f"target {fit.target_per_1000:g} false calls per 1000, review from {fit.thresholds.review:.2f}, "
        f"fail from {fit.thresholds.fail:.2f}; {trained.n_synthetic_caught} of {trained.n_synthetic} synthetic defects "
        "are stopped"
    )
    cv2.putText(canvas, title, (_GAP_PX, 20), _FONT, 0.45, _INK, 1, cv2.LINE_AA)
    _histogram(canvas[_HEADER_PX + strip.shape[0] :], trained, bad_scores)
    done, png = cv2.imencode(".png", canvas)
    if not done:
        raise ValueError("the report could not be written as PNG")
    return png.tobytes()


def _foreground(trained: TrainedModel) -> Picture:
    """The template with everything that is not scored darkened."""
    template = trained.template
    if trained.foreground is None:
        return template
    mask = trained.foreground if template.ndim == 2 else trained.foreground[:, :, None]
    return np.asarray(np.where(mask, template, template // 4), np.uint8)


def _tile(picture: Picture, caption: str) -> Picture:
    colour = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture[:, :, ::-1]
    scale = (_TILE_PX - _GAP_PX) / max(colour.shape[:2])
    small = cv2.resize(np.ascontiguousarray(colour), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.full((_TILE_PX + 20, _TILE_PX, 3), _PAPER, np.uint8)
    tile[4 : 4 + small.shape[0], _GAP_PX // 2 : _GAP_PX // 2 + small.shape[1]] = small
    cv2.putText(tile, caption, (_GAP_PX // 2, _TILE_PX + 10), _FONT, 0.42, _INK, 1, cv2.LINE_AA)
    return tile


def _histogram(area: Picture, trained: TrainedModel, bad_scores: NDArray[np.float64] | None) -> None:
    """Histogram of held-out scores with both thresholds, drawn into `area` in place."""
    height, width = area.shape[:2]
    limits = trained.calibration.thresholds
    everything = trained.scores if bad_scores is None else np.concatenate((trained.scores, bad_scores))
    low, high = float(everything.min()), max(float(np.quantile(everything, 0.98)), limits.fail) * 1.08
    left, base, top = 40, height - 34, 14

    def column(score: float) -> int:
        return left + int((min(score, high) - low) / (high - low) * (width - left - 20) + 0.5)

    edges = np.linspace(low, high, 61)
    for scores, colour in ((trained.scores, _BARS), (bad_scores, _BAD)):
        if scores is None or not len(scores):
            continue
        counts, _ = np.histogram(np.minimum(scores, high), edges)
        for count, start, end in zip(counts, edges[:-1], edges[1:], strict=True):
            if count:
                rise = round((base - top) * count / counts.max())
                cv2.rectangle(area, (column(start), base - rise), (column(end) - 1, base), colour, -1)
    cv2.line(area, (left, base), (width - 20, base), _INK, 1)
    for score, colour, name in ((limits.review, _REVIEW, "review"), (limits.fail, _FAIL, "fail")):
        cv2.line(area, (column(score), top), (column(score), base), colour, 2)
        cv2.putText(area, name, (column(score) + 4, top + 10), _FONT, 0.42, colour, 1, cv2.LINE_AA)
    for score in np.linspace(low, high, 6):
        cv2.putText(area, f"{score:.2f}", (column(score) - 12, base + 16), _FONT, 0.38, _INK, 1, cv2.LINE_AA)
    note = "frame scores of good parts, each by a model that has not seen it"
    cv2.putText(area, note, (left, height - 4), _FONT, 0.4, _INK, 1, cv2.LINE_AA)

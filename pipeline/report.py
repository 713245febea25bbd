"""report.png: what training saw, for people: the parts that decide the thresholds, and what these stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.calibration import trade_off
from pipeline.report_plots import FAIL, FONT, INK, PAPER, REVIEW, histogram, trade_off_curves

if TYPE_CHECKING:
    from pipeline.training import TrainedModel

Picture = NDArray[np.uint8]
_TILE_PX, _GAP_PX, _HEADING_PX, _CAPTION_PX, _PLOT_PX, _COLUMNS = 200, 12, 26, 24, 250, 6
_HISTOGRAM_SHARE = 0.6
_CAPTION_CHARACTERS = 25
_RING_PX = 14
_RING = (40, 40, 230)


def draw_report(
    product: str, trained: TrainedModel, bad_scores: NDArray[np.float64] | None = None, seed: int = 0
) -> bytes:
    """PNG bytes.

    Args: bad_scores: (m,) scores of known defective parts, drawn beside those of the good ones. seed: of the
        calibration.
    """
    review = trained.calibration.thresholds.review
    rows = [
        _row("What was learnt", [*_learnt_tiles(trained), _words(product, trained)]),
        _row(
            "The good parts that score highest hold the thresholds up, where ringed; a suspect does not. Take out "
            "those that are defective, no others, and train again.",
            [_high_tile(trained, index) for index in range(len(trained.highest))],
        ),
        _row(
            "Generated defects on good parts, from the least seen to the most",
            [_spoilt_tile(trained, index, review) for index in _spread(trained.spoilt_scores)],
        ),
        _plots(trained, bad_scores, seed),
    ]
    done, png = cv2.imencode(".png", np.vstack(rows))
    if not done:
        raise ValueError("the report could not be written as PNG")
    return png.tobytes()


def _learnt_tiles(trained: TrainedModel) -> list[Picture]:
    order = np.argsort(trained.scores)
    tiles = [_tile(trained.template, "template"), _tile(_foreground(trained), "scored region")]
    for index, name in ((order[0], "lowest"), (order[len(order) // 2], "usual")):
        tiles.append(_tile(trained.aligned[index].grey, f"{name} good part, {trained.scores[index]:.2f}"))
    return tiles


def _words(product: str, trained: TrainedModel) -> Picture:
    """Two tiles wide: the figures, for people."""
    fit = trained.calibration
    lines = [
        product,
        f"{len(trained.used)} good parts; {len(trained.refused)} not aligned, {len(trained.suspects)} suspect",
        f"review from {fit.thresholds.review:.2f}, fail from {fit.thresholds.fail:.2f}",
        "good parts stopped, in 1000:",
        f"    asked for {fit.target_per_1000:g}",
        f"    expected {fit.expected_per_1000:.1f}, at most {fit.bound_per_1000:.1f} (95 %)",
        f"{trained.n_synthetic_caught} of {len(trained.spoilt)} generated defects stopped",
    ]
    block = np.full((_TILE_PX + _CAPTION_PX, 2 * _TILE_PX, 3), PAPER, np.uint8)
    for number, line in enumerate(lines):
        cv2.putText(block, line, (_GAP_PX, 24 + 26 * number), FONT, 0.45, INK, 1, cv2.LINE_AA)
    return block


def _high_tile(trained: TrainedModel, index: int) -> Picture:
    part = trained.highest[index]
    suspect = " suspect" if part.name in trained.suspects else ""
    room = _CAPTION_CHARACTERS - len(f"{part.score:.2f}{suspect}: ")
    name = part.name if len(part.name) <= room else f"..{part.name[2 - room :]}"
    colour = cv2.cvtColor(part.grey, cv2.COLOR_GRAY2BGR)
    ring = max(_RING_PX, max(part.grey.shape) * _RING_PX // 200)
    cv2.circle(colour, part.place, ring, _RING, max(1, ring // 8), cv2.LINE_AA)
    return _captioned(np.asarray(colour, np.uint8), f"{part.score:.2f}{suspect}: {name}")


def _spoilt_tile(trained: TrainedModel, index: int, review: float) -> Picture:
    part = trained.spoilt[index]
    colour = cv2.cvtColor(part.grey, cv2.COLOR_GRAY2BGR)
    stopped = part.score >= review
    around = cv2.dilate(part.mask.view(np.uint8), np.ones((9, 9), np.uint8))
    outlines, _ = cv2.findContours(around, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(colour, outlines, -1, FAIL if stopped else REVIEW, max(1, max(part.grey.shape) // 200))
    return _captioned(np.asarray(colour, np.uint8), f"{'stopped' if stopped else 'passes'}, {part.score:.2f}")


def _spread(scores: NDArray[np.float64]) -> list[int]:
    """Indices of at most a row of `scores`, spread over their order."""
    order = np.argsort(scores, kind="stable")
    chosen = np.linspace(0, len(order) - 1, min(_COLUMNS, len(order))).round().astype(int)
    return [int(order[place]) for place in chosen]


def _foreground(trained: TrainedModel) -> Picture:
    """The template with everything that is not scored darkened, and a line around what is: tables may be black."""
    template = trained.template
    if trained.foreground is None:
        return template
    colour = template if template.ndim == 3 else np.repeat(template[:, :, None], 3, axis=2)
    shown = np.ascontiguousarray(np.where(trained.foreground[:, :, None], colour, colour // 4), np.uint8)
    outlines, _ = cv2.findContours(trained.foreground.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, outlines, -1, REVIEW[::-1], max(1, max(template.shape) // _TILE_PX))
    return shown


def _tile(picture: Picture, caption: str) -> Picture:
    """`picture` (H, W) grey or (H, W, 3) RGB, small, as BGR, above its caption."""
    colour = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture[:, :, ::-1]
    return _captioned(np.ascontiguousarray(colour, np.uint8), caption)


def _captioned(colour: Picture, caption: str) -> Picture:
    """`colour` (H, W, 3) BGR, small, above its caption."""
    scale = (_TILE_PX - _GAP_PX) / max(colour.shape[:2])
    small = cv2.resize(colour, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.full((_TILE_PX + _CAPTION_PX, _TILE_PX, 3), PAPER, np.uint8)
    tile[4 : 4 + small.shape[0], _GAP_PX // 2 : _GAP_PX // 2 + small.shape[1]] = small
    cv2.putText(tile, caption, (_GAP_PX // 2, _TILE_PX + 10), FONT, 0.4, INK, 1, cv2.LINE_AA)
    return tile


def _row(heading: str, tiles: list[Picture]) -> Picture:
    row = np.full((_HEADING_PX + _TILE_PX + _CAPTION_PX, _COLUMNS * _TILE_PX, 3), PAPER, np.uint8)
    cv2.putText(row, heading, (_GAP_PX // 2, 18), FONT, 0.45, INK, 1, cv2.LINE_AA)
    beside = np.hstack(tiles)
    row[_HEADING_PX:, : beside.shape[1]] = beside
    return row


def _plots(trained: TrainedModel, bad_scores: NDArray[np.float64] | None, seed: int) -> Picture:
    """The scores with both thresholds, and what other targets would stop."""
    area = np.full((_PLOT_PX, _COLUMNS * _TILE_PX, 3), PAPER, np.uint8)
    middle = int(_HISTOGRAM_SHARE * area.shape[1])
    histogram(area[:, :middle], trained.scores, bad_scores, trained.calibration.thresholds)
    curves = {"generated defects": trade_off(trained.usual_scores, trained.spoilt_scores, seed, bad_scores)}
    totals = {"generated defects": len(trained.spoilt)}
    if bad_scores is not None and bad_scores.size:
        curves["defective parts"] = trade_off(trained.usual_scores, bad_scores, seed, bad_scores)
        totals["defective parts"] = bad_scores.size
    trade_off_curves(area[:, middle:], curves, totals, trained.calibration.target_per_1000)
    return area

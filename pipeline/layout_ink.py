"""Where exactly print lies in pictures: edges of digits, ends of names, colour. An OCR's boxes are too rough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Ink:
    """Print in a window of a picture. `share` (h, w) float64: 0 ground to 1 full print; `contrast` in grey levels."""

    share: NDArray[np.float64]
    contrast: float
    dark: bool


def ink_of(window: Grey) -> Ink:
    """Print in a grey `window` (h, w) uint8 whose larger part is ground."""
    levels = window.astype(np.float64)
    ground = float(np.median(levels))
    low, high = float(np.percentile(levels, 0.5)), float(np.percentile(levels, 99.5))
    dark = ground - low > high - ground
    contrast = ground - low if dark else high - ground
    share = np.clip((ground - levels if dark else levels - ground) / max(contrast, 1.0), 0.0, 1.0)
    return Ink(share, contrast, dark)


def digit_rows(windows: Sequence[Grey], top_px: int) -> tuple[float, float]:
    """Upper and lower edge of the digits in windows that show numbers alone, the first row being `top_px`.

    A sub-pixel edge: how far the first row that holds print is covered, in the middle over the windows.
    """
    tops, bottoms = [], []
    for window in windows:
        rows = ink_of(window).share.max(axis=1)
        inked = np.flatnonzero(rows > 0.5)
        if inked.size:
            tops.append(float(inked[0]))
            bottoms.append(float(inked[-1] + 1))
    if not tops:
        return float(top_px), float(top_px + windows[0].shape[0])
    return top_px + float(np.median(tops)), top_px + float(np.median(bottoms))


def last_column(share: NDArray[np.float64], level: float = 0.35) -> int | None:
    """Column behind the last one with print; None without print."""
    inked = np.flatnonzero(share.max(axis=0) > level)
    return int(inked[-1]) + 1 if inked.size else None


def first_column(share: NDArray[np.float64], level: float = 0.35) -> int | None:
    """First column with print; None without print."""
    inked = np.flatnonzero(share.max(axis=0) > level)
    return int(inked[0]) if inked.size else None


def name_end(window: Grey, guess_px: int, gap_px: float) -> int:
    """Column at which the name (with its colon) ends in a window of a whole line.

    From `guess_px` on, the first stretch without print at least `gap_px` wide begins there.
    """
    inked = ink_of(window).share.max(axis=0) > 0.35
    free = 0
    for column in range(max(guess_px - round(gap_px), 0), len(inked)):
        free = 0 if inked[column] else free + 1
        if free >= gap_px:
            return column - free + 1
    return guess_px


def print_colour(picture: Rgb, share: NDArray[np.float64]) -> str:
    """The print's colour as #rrggbb: the middle of its most covered pixels. `picture` (h, w, 3)."""
    level = min(0.8, float(share.max()))
    colours = picture[share >= level]
    red, green, blue = (int(value) for value in np.median(colours, axis=0))
    return f"#{red:02x}{green:02x}{blue:02x}"

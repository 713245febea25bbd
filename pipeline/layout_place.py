"""The exact place of one field: name, number with unit, the rows of its digits, measured on the print itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from pipeline.layout_ink import Ink, digit_rows, first_column, ink_of, last_column, name_end
from pipeline.layout_pieces import Candidate
from schemas.verdict import Box

_ROOM_DIGITS = 1.6
"""Free room for a longer number, before it or, where its unit follows it, behind, in heights of a digit."""
_LEAST_DIGIT_PX = 5.0
Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Place:
    """Boxes in px of the picture; `rows` (first, behind last) of the whole line; `contrast` in grey levels."""

    name_px: Box
    value_px: Box
    digits_px: tuple[float, float]
    rows: tuple[int, int]
    contrast: float
    dark_ink: bool


def measure_place(group: Mapping[int, Candidate], greys: Sequence[Grey], reference: Grey) -> Place:
    """Where the field is that was found as `group` (picture index -> candidate) in `greys` (H, W) uint8."""
    every = list(group.values())
    height, width = reference.shape
    top = max(round(median(each.top_px for each in every)), 0)
    bottom = min(round(median(each.bottom_px for each in every)), height)
    digits = digit_rows([greys[i][top:bottom, inner(each)] for i, each in group.items()], top)
    size = max(digits[1] - digits[0], _LEAST_DIGIT_PX)
    left = max(round(median(each.left_px for each in every)), 0)
    right = min(max(round(each.right_px) for each in every) + 2, width)
    guess = round(median(each.name_right_px for each in every)) - left
    end = left + name_end(reference[top:bottom, left:right], guess, 0.25 * size)
    inks = [ink_of(greys[i][top:bottom, end:right]) for i in group]
    first, last = _value_span(inks, size, has_unit=any(each.unit for each in every))
    margin = round(0.35 * size)
    y = max(round(digits[0]) - margin, 0)
    box_height = min(round(digits[1]) + margin, height) - y
    return Place(
        name_px=(left, y, end - left, box_height),
        value_px=(end + first, y, min(end + last, width) - end - first, box_height),
        digits_px=(round(digits[0], 1), round(digits[0] + size, 1)),
        rows=(top, bottom),
        contrast=median(each.contrast for each in inks),
        dark_ink=sum(each.dark for each in inks) * 2 > len(inks),
    )


def inner(candidate: Candidate) -> slice:
    """Columns of the number without its first and last few, which may belong to its neighbours."""
    width = candidate.number_right_px - candidate.number_left_px
    return slice(
        max(round(candidate.number_left_px + 0.2 * width), 0), max(round(candidate.number_right_px - 0.2 * width), 2)
    )


def _value_span(inks: Sequence[Ink], size_px: float, *, has_unit: bool) -> tuple[int, int]:
    """First column and the one behind the last for number and unit, from the end of the name on, with room to grow.

    Where every number begins at one column its unit is pushed right by a longer one; else it grows to the left.
    """
    starts = [first_column(each.share) or 0 for each in inks]
    ends = [last_column(each.share) or 0 for each in inks]
    begins_alike = max(starts) - min(starts) <= 0.35 * size_px
    grows_right = begins_alike and (has_unit or max(ends) - min(ends) > 0.5 * size_px)
    first = max(round(min(0.25 * size_px, 0.5 * min(starts))), min(starts) - round(_ROOM_DIGITS * size_px))
    return first, max(ends) + round(_ROOM_DIGITS * size_px if grows_right else 0.35 * size_px)

"""From pieces of text that an OCR found in one picture to candidates for fields: name, number, unit, in one row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engines.cnocr_reader import FoundText

_NUMBER = r"[+-]?\d+(?:[.,]\d+)?"
_UNIT = r"[^\W\d_]{1,6}(?:[²³]|/[^\W\d_]{1,4})?|%|°\s?[CF]?|[°Ωµμ][A-Za-z]{0,4}|k?[Ωµ]"
_WHOLE = re.compile(rf"(?P<name>.*?[^\W\d_].*?)?(?P<gap>\s*[:=]\s*|\s+)?(?P<number>{_NUMBER})\s*(?P<unit>{_UNIT})?")
_NAME = re.compile(r".*[^\W\d_].*")
_UNIT_ALONE = re.compile(_UNIT)
_MAX_NAME_GAP, _MAX_UNIT_GAP = 14.0, 2.5
"""Farthest a name may stand left of its number and a unit right of it, in heights of the line."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A number with a name. `number_left_px` is None where name and number were found as one piece.

    `left_px` .. `right_px`: the whole, from the name to the unit; `unit` without spaces, empty when there is none.
    """

    name: str
    number: str
    unit: str
    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    name_right_px: float
    number_left_px: float
    number_right_px: float


def candidates(pieces: Sequence[FoundText]) -> list[Candidate]:
    """Every number of a picture that has a name, in reading order."""
    found = [each for each in (_candidate(piece, pieces) for piece in pieces) if each is not None]
    return sorted(found, key=lambda each: (each.left_px > 0.5 * max(c.right_px for c in found), each.top_px))


def _candidate(piece: FoundText, pieces: Sequence[FoundText]) -> Candidate | None:
    match = _WHOLE.fullmatch(piece.text.strip())
    if match is None:
        return None
    name, gap, number, unit = match.group("name", "gap", "number", "unit")
    if name and not gap:
        return None  # AS007-000012 is a serial number, not a field
    share = (piece.right_px - piece.left_px) / max(len(piece.text), 1)
    number_left = piece.left_px + share * match.start("number")
    number_right = piece.left_px + share * match.end("number")
    right = piece.right_px
    if name:
        left, name_right = piece.left_px, piece.left_px + share * match.end("name")
        name = name.rstrip(" :=")
    else:
        named = _neighbour(piece, pieces, to_left=True)
        if named is None:
            return None
        left, name_right, name = named.left_px, named.right_px, named.text.rstrip(" :=")
    if not unit:
        following = _neighbour(piece, pieces, to_left=False)
        if following is not None:
            unit, right = following.text, following.right_px
    return Candidate(name.strip(), number, (unit or "").replace(" ", ""), left, piece.top_px, right, piece.bottom_px,
                     name_right, number_left, number_right)  # fmt: skip


def _neighbour(piece: FoundText, pieces: Sequence[FoundText], *, to_left: bool) -> FoundText | None:
    """The nearest name left of, or unit right of, a number in the same row."""
    height = piece.bottom_px - piece.top_px
    near: tuple[float, FoundText] | None = None
    for other in pieces:
        gap = piece.left_px - other.right_px if to_left else other.left_px - piece.right_px
        reach = _MAX_NAME_GAP if to_left else _MAX_UNIT_GAP
        middle = (other.top_px + other.bottom_px) / 2
        if other is piece or not (-0.6 * height <= gap <= reach * height):
            continue
        if abs(middle - (piece.top_px + piece.bottom_px) / 2) > 0.45 * height:
            continue
        right_kind = _NAME.fullmatch(other.text) if to_left else _UNIT_ALONE.fullmatch(other.text.strip())
        if near is None or gap < near[0]:
            near = (gap, other) if right_kind else (gap, piece)
    return near[1] if near is not None and near[1] is not piece else None

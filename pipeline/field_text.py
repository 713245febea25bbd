"""From what a line says to a machine parameter: number, decimals, unit. Never a guess."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.layout import LayoutField
from schemas.verdict import FieldStatus

_TWINS = str.maketrans({"μ": "µ", "I": "l", "|": "l", "C": "c", "O": "o", "P": "p", "S": "s", "U": "u", "V": "v",
                        "W": "w", "X": "x", "Z": "z", "Ω": "Ω", "º": "°"})  # fmt: skip
"""Letters that print alike at any size but their own, and signs with two code points."""
_SIGNS = str.maketrans("μ−–—º", "µ---°")
_OVERFLOW = re.compile(r"([o0]v(e?r)?|[o0]l|[o0]ver|[o0]verfl[o0]w|under|inf|[<>].*|\*+|#+)", re.IGNORECASE)
_NUMBER = re.compile(r"([+-]?)(\d+)(?:([.,])(\d*))?")


@dataclass(frozen=True, slots=True)
class ParsedText:
    """What a text amounts to. `value` only with status `read` or `out_of_range`; `detail` says why not."""

    status: FieldStatus
    value: float | None = None
    detail: str = ""


def parse_field(text: str, field: LayoutField) -> ParsedText:
    """The value that `text` (without spaces) gives to `field`.

    read, or out_of_range (with its value; without one when the machine shows an overflow), missing (nothing, or a
    word where the number belongs), mismatch (another unit), abstained (a number of another format).
    """
    wanted = fold_unit(field.unit.replace(" ", ""))
    shown = text[: len(text) - len(wanted)] if wanted and fold_unit(text).endswith(wanted) else text
    if not shown:
        return ParsedText(FieldStatus.MISSING, detail="nothing is printed" if not text else "only a unit is printed")
    if _OVERFLOW.fullmatch(shown):
        return ParsedText(FieldStatus.OUT_OF_RANGE, detail=f"the machine shows {text!r}, an overflow")
    number = _NUMBER.match(text)
    if number is None:
        return ParsedText(FieldStatus.MISSING, detail=f"{text!r} is no number")
    unit = text[number.end() :]
    if fold_unit(unit) != wanted:
        return _wrong_unit(text, unit, field)
    return _parse_number(number, field)


def _parse_number(number: re.Match[str], field: LayoutField) -> ParsedText:
    """A number of the right unit: its format, its value, its range."""
    text = number.group()
    sign, whole, mark, decimals = number.groups()
    if mark is not None and mark != field.decimal_mark:
        return ParsedText(
            FieldStatus.ABSTAINED,
            detail=f"{text!r} has the decimal mark {mark!r}, the layout has {field.decimal_mark!r}",
        )
    if len(decimals or "") != field.decimals or (mark is not None and not decimals):
        return ParsedText(
            FieldStatus.ABSTAINED,
            detail=f"{text!r} has {len(decimals or '')} decimals, the layout has {field.decimals}",
        )
    value = float(f"{sign}{whole}.{decimals or '0'}")
    if not field.low <= value <= field.high:
        detail = f"{value:g} is outside {field.low:g} to {field.high:g}"
        return ParsedText(FieldStatus.OUT_OF_RANGE, value, detail)
    return ParsedText(FieldStatus.READ, value)


def fold_unit(unit: str) -> str:
    """`unit` with what prints alike made equal; m and M, k and K stay apart."""
    return unit.translate(_TWINS)


def fold_signs(text: str) -> str:
    """`text` of another reader without spaces, its signs written as ours: Greek mu, typographic minus and the like."""
    return "".join(text.split()).translate(_SIGNS)


def _wrong_unit(text: str, unit: str, field: LayoutField) -> ParsedText:
    if unit and not re.fullmatch(r"[A-Za-z%°µΩ²/*]+", unit):
        return ParsedText(FieldStatus.ABSTAINED, detail=f"{text!r} is not a number and a unit")
    return ParsedText(
        FieldStatus.MISMATCH, detail=f"unit {unit or 'none'!r} is printed, the layout has {field.unit or 'none'!r}"
    )

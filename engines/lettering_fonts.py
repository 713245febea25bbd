"""Makes lettering.npz, the outlines that printed text is drawn with, from TrueType files.

    python -m engines.lettering_fonts engines/lettering.npz dejavu-sans=DejaVuSans.ttf roboto=Roboto-Regular.ttf ...

Needs fontTools (comes with the extra ``ocr``); what it writes needs nothing but numpy.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import InputError, MissingExtra

CHARACTERS = "".join(chr(code) for code in range(32, 127)) + "°µ±²Ω"
"""Every character that can be drawn: ASCII and what units need."""
UNITS_PER_EM = 4096
_STEPS = 6
"""Straight pieces a curve is flattened into."""

Contour = list[tuple[float, float]]


def write_lettering(fonts: Mapping[str, Path], out: Path) -> None:
    """Flatten CHARACTERS of each TrueType file of `fonts` (face name -> file) into one .npz.

    Raises: InputError for a file that is no TrueType font or lacks a character; MissingExtra.
    """
    points: list[tuple[int, int]] = []
    lengths: list[int] = []
    contours_of: list[int] = []
    advances: list[int] = []
    for path in fonts.values():
        for contours, advance in _glyphs(path):
            contours_of.append(len(contours))
            advances.append(advance)
            for contour in contours:
                lengths.append(len(contour))
                points += [(round(x), round(y)) for x, y in contour]
    n = len(fonts)
    np.savez_compressed(
        out,
        faces=np.array(list(fonts)),
        characters=np.array(CHARACTERS),
        points=np.array(points, np.int16),
        lengths=np.array(lengths, np.int16),
        contours=np.array(contours_of, np.int16).reshape(n, -1),
        advances=np.array(advances, np.int16).reshape(n, -1),
    )


def _glyphs(path: Path) -> list[tuple[list[Contour], int]]:
    """(contours, advance) of every character, in 1/UNITS_PER_EM em, y up."""
    try:
        from fontTools.pens.recordingPen import DecomposingRecordingPen
        from fontTools.ttLib import TTFont, TTLibError
    except ImportError as exc:
        raise MissingExtra("fonttools", "ocr", "drawing text with a TrueType font") from exc
    try:
        font = TTFont(path)
    except (OSError, TTLibError) as exc:
        raise InputError(f"{path} is not a TrueType font: {exc}") from exc
    scale = UNITS_PER_EM / font["head"].unitsPerEm
    names, glyph_set = font.getBestCmap(), font.getGlyphSet()
    missing = [character for character in CHARACTERS if ord(character) not in names]
    if missing:
        raise InputError(f"{path} has no glyph for {''.join(missing)!r}; choose a font that has")
    glyphs = []
    for character in CHARACTERS:
        name = names[ord(character)]
        pen = DecomposingRecordingPen(glyph_set)
        glyph_set[name].draw(pen)
        flat = [[(x * scale, y * scale) for x, y in contour] for contour in _flatten(pen.value)]
        glyphs.append((flat, round(glyph_set[name].width * scale)))
    return glyphs


def _flatten(drawn: list[tuple[str, Any]]) -> list[Contour]:
    """Straight-line contours of what a pen recorded: quadratic splines of TrueType, each arc in _STEPS pieces."""
    contours: list[Contour] = []
    current: Contour = []
    for operator, arguments in drawn:
        if operator == "moveTo":
            current = [arguments[0]]
        elif operator == "lineTo":
            current.append(arguments[0])
        elif operator == "qCurveTo":
            through = arguments
            if arguments[-1] is None:
                through, current = _closed_spline(arguments[:-1])
            current += _spline(current[-1], through)
        elif operator in ("closePath", "endPath"):
            contours.append(current)
        else:
            raise InputError(f"a font with {operator} outlines is not TrueType; convert it first")
    return [contour for contour in contours if len(contour) > 2]


def _closed_spline(controls: tuple[Any, ...]) -> tuple[tuple[Any, ...], Contour]:
    """A contour without points on the curve: begin and end between its first and last control point."""
    middle = ((controls[0][0] + controls[-1][0]) / 2, (controls[0][1] + controls[-1][1]) / 2)
    return (*controls, middle), [middle]


def _spline(start: tuple[float, float], arguments: tuple[Any, ...]) -> Contour:
    """Points after `start` on a TrueType spline: between two control points lies one on the curve."""
    *controls, end = arguments
    points: Contour = []
    for index, control in enumerate(controls):
        following = controls[index + 1] if index + 1 < len(controls) else None
        stop = end if following is None else ((control[0] + following[0]) / 2, (control[1] + following[1]) / 2)
        for step in range(1, _STEPS + 1):
            t = step / _STEPS
            points.append(
                (
                    (1 - t) ** 2 * start[0] + 2 * t * (1 - t) * control[0] + t**2 * stop[0],
                    (1 - t) ** 2 * start[1] + 2 * t * (1 - t) * control[1] + t**2 * stop[1],
                )
            )
        start = stop
    return points


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    write_lettering(
        {name: Path(file) for name, file in (given.split("=", 1) for given in sys.argv[2:])}, Path(sys.argv[1])
    )

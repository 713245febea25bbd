"""Lettering: text as a machine prints it into a picture, drawn from shipped outlines, antialiased, at any size.

No font library at run time: lettering.npz holds flattened outlines (engines/lettering_fonts.py makes it; licences in
lettering.txt).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.errors import SetupError

LETTERING = Path(__file__).with_name("lettering.npz")
UNITS_PER_EM = 4096
PHASES = 4
"""Places between two pixels at which a glyph is drawn."""
_MOST_DRAWN = 10000
"""Glyphs a face keeps."""
_ASCENT, _DESCENT = 0.96, 0.26
_OVERSAMPLING = 8
_SHIFT = 4
"""Bits behind the point of polygon coordinates."""

Contours = tuple[NDArray[np.int16], ...]


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How text is printed. `size_px`: of the em; `snapped`: every glyph begins on a whole pixel, as GUIs draw."""

    face: str = "dejavu-sans"
    size_px: float = 16.0
    snapped: bool = True
    tracking_px: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One typeface: outlines and advances by character, in 1/UNITS_PER_EM em, y up."""

    name: str
    outlines: dict[str, Contours]
    advances: dict[str, float]
    _drawn: dict[tuple[str, float, int], NDArray[np.float32]] = field(default_factory=dict)

    def glyph(self, character: str, size_px: float, phase: int) -> NDArray[np.float32]:
        """(h, w) float32 coverage 0..1 of a glyph that begins `phase`/PHASES px right of its first column but one.

        Row 0 is _ASCENT em above the baseline (rounded up). Raises: ValueError for a character without outline.
        """
        key = (character, size_px, phase)
        known = self._drawn.get(key)
        if known is None:
            if character not in self.outlines:
                raise ValueError(f"character {character!r} is not in the lettering; use ASCII or one of °µ±²Ω")
            if len(self._drawn) > _MOST_DRAWN:
                self._drawn.clear()
            known = self._drawn[key] = _rasterise(
                self.outlines[character], self.advances[character], size_px, phase / PHASES
            )
        return known


@cache
def faces(path: Path = LETTERING) -> dict[str, Face]:
    """Every face of the lettering by name. Raises: SetupError when the file cannot be used."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, characters = [str(name) for name in arrays["faces"]], str(arrays["characters"])
            points, lengths = arrays["points"], arrays["lengths"]
            contours, advances = arrays["contours"], arrays["advances"]
    except (OSError, ValueError, KeyError) as exc:
        raise SetupError(f"lettering {path} cannot be read: {exc}; install Sightline again") from exc
    pieces = iter(np.split(points, np.cumsum(lengths.astype(np.int64))[:-1]))
    found = {}
    for name, counts, widths in zip(names, contours, advances, strict=True):
        outlines = {
            character: tuple(next(pieces) for _ in range(count))
            for character, count in zip(characters, counts, strict=True)
        }
        found[name] = Face(name, outlines, dict(zip(characters, (float(width) for width in widths), strict=True)))
    return found


def text_size_px(text: str, style: TextStyle) -> tuple[int, int]:
    """(width, height) of the picture `draw_text` makes."""
    return int(np.ceil(_places(text, style)[-1])) + 3, _rows(style.size_px)


def draw_text(text: str, style: TextStyle, offset_px: float = 0.0) -> NDArray[np.float32]:
    """`text` in one line, as coverage.

    Args: offset_px: 0 to 1, moves the text right by a part of a pixel (only when not snapped).
    Returns: (h, w) float32, 0 nothing to 1 ink; one column is free on the left.
    Raises: ValueError for an unknown character; SetupError for an unknown face.
    """
    if style.face not in faces():
        raise SetupError(f"face {style.face!r} is unknown; there are {', '.join(faces())}")
    face = faces()[style.face]
    places = _places(text, style)
    width, height = text_size_px(text, style)
    ink = np.zeros((height, width + 1 + int(style.size_px)), np.float32)
    for character, place in zip(text, places, strict=False):
        at = place + (0.0 if style.snapped else offset_px)
        steps = round(at * PHASES)
        column, phase = divmod(steps, PHASES)
        glyph = face.glyph(character, style.size_px, phase)
        window = ink[:, column : column + glyph.shape[1]]
        np.maximum(window, glyph[:, : window.shape[1]], out=window)
    return ink[:, : width + 1]


def _places(text: str, style: TextStyle) -> list[float]:
    """Left end of every glyph, and the end of the text, px from the first."""
    advances = faces()[style.face].advances
    places = [0.0]
    for character in text:
        step = advances.get(character, UNITS_PER_EM / 2) * style.size_px / UNITS_PER_EM + style.tracking_px
        places.append(places[-1] + (max(round(step), 1) if style.snapped else step))
    return places


def _rows(size_px: float) -> int:
    return int(np.ceil(_ASCENT * size_px)) + int(np.ceil(_DESCENT * size_px))


def _rasterise(contours: Contours, advance: float, size_px: float, phase_px: float) -> NDArray[np.float32]:
    """Coverage by counting: the polygon is filled on an _OVERSAMPLING times finer grid."""
    scale = size_px / UNITS_PER_EM
    right = max((float(contour[:, 0].max()) for contour in contours), default=advance)
    width = 3 + int(np.ceil(max(right, advance) * scale + phase_px))
    canvas = np.zeros((_rows(size_px) * _OVERSAMPLING, width * _OVERSAMPLING), np.uint8)
    baseline = np.ceil(_ASCENT * size_px)
    polygons = []
    for contour in contours:
        x = contour[:, 0] * scale + 1 + phase_px
        y = baseline - contour[:, 1] * scale
        fine = np.stack((x, y), axis=1) * _OVERSAMPLING - 0.5
        polygons.append(np.round(fine * 2**_SHIFT).astype(np.int32))
    if polygons:
        cv2.fillPoly(canvas, polygons, (255,), cv2.LINE_8, _SHIFT)
    small = cv2.resize(canvas, (width, _rows(size_px)), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)

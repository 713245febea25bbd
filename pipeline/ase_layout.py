"""The layout of the simulated machine that prints parameters, by the way of `sightline layout`, without an OCR.

The panel knows what it prints and where, so it says what an OCR would have found; all else is the same code.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.cnocr_reader import FoundText
from engines.lettering import text_size_px
from pipeline.ase_line import PRODUCT, AseLine
from pipeline.ase_panel import Panel
from pipeline.ase_parameters import PARAMETERS
from pipeline.field_members import FieldMembers
from pipeline.layout_search import encode_reference, find_layout

_N_PARTS, _EVERY = 8, 9
_ROOM_PX = 3
"""An OCR's boxes are wider than the print."""


def simulated_layout(line: AseLine) -> FieldMembers:
    """The layout of `line`'s machine and its reference picture, found on a few of its parts."""
    parts = [line.sample(_EVERY * k) for k in range(_N_PARTS)]
    layout, reference, _ = find_layout(
        PRODUCT,
        [part.picture for part in parts],
        [grey_of(part.picture) for part in parts],
        [known_pieces(line.panel, {name: each.text for name, each in part.fields.items()}) for part in parts],
    )
    return FieldMembers(layout, encode_reference(reference), "the simulated machine's layout")


def grey_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) uint8 of (H, W, 3) RGB."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def known_pieces(panel: Panel, texts: Mapping[str, str]) -> list[FoundText]:
    """What an OCR finds on a panel that prints `texts` (parameter -> number): rough boxes, pieces joined when close."""
    pieces = [_piece("DB-07 A003-0000 AS003-000042", 13, 8, 264, 18)]
    for spec in PARAMETERS:
        text, style = texts[spec.name], panel.style
        left, top, width, height = panel.value_px(spec.name, text)
        name, name_left = f"{spec.name}{style.separator}", panel.name_left_px(spec.name)
        if style.running:
            value = f"{text} {spec.unit or ''}".rstrip()
            end = left + text_size_px(value, style.text)[0]
            pieces.append(_piece(f"{name} {value}", name_left, top, end - name_left, height))
            continue
        pieces.append(_piece(name, name_left, top, text_size_px(name, style.text)[0], height))
        pieces.append(_piece(text, left, top, width, height))
        if spec.unit:
            unit_left = panel.unit_left_px(spec.name)
            pieces.append(_piece(spec.unit, unit_left, top, text_size_px(spec.unit, style.text)[0], height))
    return pieces


def _piece(text: str, left: float, top: float, width: float, height: float) -> FoundText:
    room = _ROOM_PX
    return FoundText(text, 0.99, left - room, top - room + 1, left + width + room, top + height + room - 1)

"""Panels with known texts at known places, as an OCR would report them: no OCR needed."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.cnocr_reader import FoundText
from engines.lettering import text_size_px
from pipeline.ase_line import AseLine, AseSample
from pipeline.ase_panel import Panel, PanelStyle
from pipeline.ase_parameters import PARAMETERS

COLUMNS = PanelStyle()
RUNNING = PanelStyle("roboto", 15.0, running=True, separator="=")


def grey_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) uint8 of RGB."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def pieces_of(panel: Panel, texts: Mapping[str, str]) -> list[FoundText]:
    """What an OCR finds on a panel: names, numbers and units apart, or as one where they run on; rough boxes."""
    found = [FoundText("DB-07 A003-0000 AS003-000042", 0.99, 10, 6, 280, 28)]
    style = panel.style
    for spec in PARAMETERS:
        text = texts[spec.name]
        left, top, width, height = panel.value_px(spec.name, text)
        name = f"{spec.name}{style.separator}"
        name_left = panel.name_left_px(spec.name)
        if style.running:
            whole = f"{name} {text} {spec.unit or ''}".rstrip()
            end = left + text_size_px(f"{text} {spec.unit or ''}".rstrip(), style.text)[0]
            found.append(FoundText(whole, 0.99, name_left - 3, top - 2, end + 3, top + height + 2))
            continue
        name_end = name_left + text_size_px(name, style.text)[0]
        found.append(FoundText(name, 0.99, name_left - 3, top - 2, name_end + 3, top + height + 2))
        found.append(FoundText(text, 0.99, left - 3, top - 2, left + width + 3, top + height + 2))
        if spec.unit:
            unit_left = panel.unit_left_px(spec.name)
            end = unit_left + text_size_px(spec.unit, style.text)[0]
            found.append(FoundText(spec.unit, 0.99, unit_left - 3, top - 2, end + 3, top + height + 2))
    return found


def samples(style: PanelStyle, n: int = 8) -> list[AseSample]:
    """Parts of one machine."""
    line = AseLine(3, style=style)
    return [line.sample(9 * k) for k in range(n)]


def pieces_of_sample(sample: AseSample, style: PanelStyle) -> list[FoundText]:
    """`pieces_of` for a part."""
    return pieces_of(Panel(style), {name: printed.text for name, printed in sample.fields.items()})

"""A layout drawn over a picture, for the person who is to correct it."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.layout import Layout

_NAME, _VALUE, _DIGITS, _PART, _WRONG = (200, 140, 60), (90, 220, 90), (60, 160, 60), (230, 90, 230), (60, 60, 240)
"""BGR."""
_ZOOM = 2


def draw_layout(layout: Layout, rgb: NDArray[np.uint8], texts: Mapping[str, str] | None = None) -> bytes:
    """PNG of `rgb` (H, W, 3) at twice its size, with every box.

    Args: texts: what was read in each field, by name; printed behind the field. Names: blue, values: green with the
        digits' edges, the part: magenta; a field that is not trusted: red.
    """
    picture = cv2.resize(rgb[:, :, ::-1], None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_CUBIC)
    picture = (picture * 0.75).astype(np.uint8)

    def box(x: float, y: float, w: float, h: float, colour: tuple[int, int, int]) -> None:
        ends = [(round(_ZOOM * a), round(_ZOOM * b)) for a, b in ((x, y), (x + w, y + h))]
        cv2.rectangle(picture, ends[0], ends[1], colour, 1)

    for field in layout.fields:
        box(*field.name_px, _NAME)
        x, y, w, h = field.value_px
        top, bottom = field.digits_px
        box(x, top, w, bottom - top, _DIGITS)
        box(x, y, w, h, _VALUE if field.trusted else _WRONG)
        said = (texts or {}).get(field.name, f"{field.decimals} decimals {field.unit}".strip())
        at = (round(_ZOOM * (x + w)) + 4, round(_ZOOM * (y + h)) - 6)
        cv2.putText(picture, said.encode("ascii", "replace").decode(), at, cv2.FONT_HERSHEY_PLAIN, 1.0, _VALUE, 1,
                    cv2.LINE_AA)  # fmt: skip
    if layout.part_px is not None:
        box(*layout.part_px, _PART)
    done, png = cv2.imencode(".png", picture)
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} cannot be written as PNG")
    return png.tobytes()

"""The panel of an ASE-like picture: names, numbers and units of machine parameters, printed around the dots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engines.lettering import TextStyle, draw_text, text_size_px
from pipeline.ase_dots import SIDE_PX
from pipeline.ase_parameters import PARAMETERS, ParameterSpec
from schemas.verdict import Box

SIZE_PX = (640, 480)
DOTS_PX: Box = (10, 480 - SIDE_PX - 10, SIDE_PX, SIDE_PX)
_COLOURS = ((120, 255, 120), (255, 235, 90), (110, 220, 255), (245, 245, 245))
_GREY = (176, 182, 190)
_GROUND = (16, 20, 30)
_COLUMNS = ((12, 7), (334, 0))


@dataclass(frozen=True, slots=True)
class PanelStyle:
    """How a machine prints. `running`: the unit follows its number; else numbers end, and units begin, in a column."""

    face: str = "dejavu-sans"
    size_px: float = 15.0
    running: bool = False
    separator: str = ":"

    @property
    def text(self) -> TextStyle:
        """The lettering of everything on the panel."""
        return TextStyle(self.face, self.size_px)


@dataclass(frozen=True)
class Panel:
    """One machine's panel. What never changes is drawn once."""

    style: PanelStyle

    def draw(self, values: Mapping[str, float], header: str) -> NDArray[np.uint8]:
        """(480, 640, 3) uint8 RGB without the dots; a value that is missing from `values` is not printed."""
        picture = self._ground.copy()
        _print(picture, header, self.style.text, 12, 8, _GREY)
        for spec in PARAMETERS:
            if spec.name in values:
                self._print_value(picture, spec, spec.text(values[spec.name]))
        return picture

    def print_text(self, picture: NDArray[np.uint8], name: str, text: str) -> None:
        """Print `text` where parameter `name` has its number: what a machine does that has no number to show."""
        self._print_value(picture, next(spec for spec in PARAMETERS if spec.name == name), text)

    def value_px(self, name: str, text: str) -> Box:
        """Where the number `text` of parameter `name` is printed."""
        left, top = self._value_place(next(spec for spec in PARAMETERS if spec.name == name), text)
        width, height = text_size_px(text, self.style.text)
        return left, top, width, height

    def name_left_px(self, name: str) -> int:
        """Left edge of a printed name."""
        return self._place(next(spec for spec in PARAMETERS if spec.name == name))[0]

    def unit_left_px(self, name: str) -> int:
        """Left edge of a unit that has its own column."""
        return self.name_left_px(name) + round(13.7 * self.style.size_px)

    def _print_value(self, picture: NDArray[np.uint8], spec: ParameterSpec, text: str) -> None:
        left, top = self._value_place(spec, text)
        colour = _COLOURS[spec.group]
        if self.style.running:
            _print(picture, f"{text} {spec.unit or ''}".rstrip(), self.style.text, left, top, colour)
        else:
            _print(picture, text, self.style.text, left, top, colour)

    def _value_place(self, spec: ParameterSpec, text: str) -> tuple[int, int]:
        left, top = self._place(spec)
        size = self.style.size_px
        if self.style.running:
            return left + text_size_px(f"{spec.name}{self.style.separator} ", self.style.text)[0], top
        return left + round(13.2 * size) - text_size_px(text, self.style.text)[0], top

    def _place(self, spec: ParameterSpec) -> tuple[int, int]:
        """Upper left of a parameter's line: seven above the dots, the others in the column beside them."""
        index = PARAMETERS.index(spec)
        step = round(1.62 * self.style.size_px)
        n_left = _COLUMNS[0][1]
        column = 0 if index < n_left else 1
        row = index if column == 0 else index - n_left
        return _COLUMNS[column][0], 40 + row * (step if column == 0 else round(1.25 * step))

    @cached_property
    def _ground(self) -> NDArray[np.uint8]:
        """What every picture of this machine shows: names and, in columns, units."""
        width, height = SIZE_PX
        picture = np.empty((height, width, 3), np.uint8)
        picture[:] = _GROUND
        picture[30:32] = _GREY
        x, y, w, h = DOTS_PX
        picture[y - 2 : y + h + 2, x - 2 : x + w + 2] = _GREY
        for spec in PARAMETERS:
            left, top = self._place(spec)
            _print(picture, f"{spec.name}{self.style.separator}", self.style.text, left, top, _GREY)
            if spec.unit and not self.style.running:
                _print(picture, spec.unit, self.style.text, self.unit_left_px(spec.name), top, _GREY)
        return picture


def _print(
    picture: NDArray[np.uint8], text: str, style: TextStyle, left: int, top: int, colour: tuple[int, int, int]
) -> None:
    """Blend `text` into `picture`; what reaches over its edge is cut."""
    ink = draw_text(text, style)
    window = picture[top : top + ink.shape[0], left : left + ink.shape[1]]
    ink = ink[: window.shape[0], : window.shape[1], None]
    window[:] = np.round(window + ink * (np.array(colour, np.float32) - window)).astype(np.uint8)

"""Printed lines to learn reading from: numbers, units and what else machines print, drawn, photographed, cut out.

Everything follows from the generator that is handed in; nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.lettering import TextStyle, draw_text
from engines.line_crop import CROP_HEIGHT_PX, LineBox, crop_line
from engines.reader import CHARACTERS

TAUGHT_FACES = ("dejavu-sans", "dejavu-mono", "dejavu-bold", "dejavu-condensed", "roboto", "roboto-medium")
"""Faces of the lettering the reader is taught; `humanist` is kept for a test of what it never saw."""
_UNIT_TEXT = (
    "um µm mm cm nm m mW W kW mA A µA uA V mV kV gf kgf N mN kN g mg kg ms s us µs min Hz kHz MHz deg ° °C C K F % ppm "
    "Pa kPa MPa bar mbar psi l/min ml lpm rpm J mJ pF nF uF Ω kΩ ohm px pix lux dB um/s mm/s N/mm pcs"
)
UNITS = tuple(_UNIT_TEXT.split())
_WORD_TEXT = (
    "OVR OVER UNDER OL ERR ERROR N/A NA NAN nan INF inf --- ---- ** *** **** ##### OK NG PASS FAIL HIGH LOW ON OFF "
    "NONE none no data LOST ?? >99 <0.1 1e-3 2.5E+02"
)
_WORDS = tuple(_WORD_TEXT.split())
_MARGIN = 6
"""Free pixels around a drawn line."""
_HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_PLAIN)


@dataclass(frozen=True, slots=True)
class Camera:
    """What a picture of printed text went through; sigma in native pixels or grey levels."""

    blur_px: float = 0.0
    noise: float = 0.0
    jpeg_quality: int | None = None
    shift_px: tuple[float, float] = (0.0, 0.0)

    def expose(self, grey: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
        """`grey` (H, W) float32 0 to 255 as the camera and its software give it."""
        if self.shift_px != (0.0, 0.0):
            motion = np.array([[1, 0, self.shift_px[0]], [0, 1, self.shift_px[1]]], np.float64)
            grey = np.asarray(
                cv2.warpAffine(grey, motion, grey.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.float32
            )
        if self.blur_px > 0.05:
            grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), self.blur_px), np.float32)
        if self.noise > 0:
            grey = grey + np.float32(self.noise) * rng.standard_normal(grey.shape, np.float32)
        seen = np.asarray(np.clip(np.round(grey), 0, 255), np.uint8)
        if self.jpeg_quality is None:
            return seen
        done, encoded = cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
        if not done:
            raise ValueError(f"a line of shape {seen.shape} cannot be encoded")
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)


def random_camera(rng: np.random.Generator) -> Camera:
    """Conditions to learn under: from perfect to barely readable."""
    return Camera(
        blur_px=float(rng.uniform(0.2, 1.5)) if rng.random() < 0.5 else 0.0,
        noise=float(rng.uniform(0, 14)) if rng.random() < 0.6 else 0.0,
        jpeg_quality=int(rng.integers(35, 96)) if rng.random() < 0.7 else None,
        shift_px=(float(rng.uniform(-1.2, 1.2)), float(rng.uniform(-1.2, 1.2))),
    )


def random_number(rng: np.random.Generator) -> str:
    """A number as machines print them; now and then with a decimal comma."""
    sign = str(rng.choice(["", "", "", "", "-", "-", "+"]))
    whole = "".join(str(digit) for digit in rng.integers(0, 10, int(rng.integers(1, 5))))
    n_decimals = int(rng.choice([0, 0, 1, 1, 1, 2, 2, 3, 4]))
    if n_decimals == 0:
        return sign + whole
    mark = "," if rng.random() < 0.08 else "."
    return sign + whole + mark + "".join(str(digit) for digit in rng.integers(0, 10, n_decimals))


def random_text(rng: np.random.Generator) -> str:
    """What may stand in a field: mostly a number with or without unit; also words, garbage, nothing."""
    kind, text = rng.random(), ""
    if kind < 0.58:
        text = random_number(rng) + " " * int(rng.integers(0, 4)) + str(rng.choice(UNITS))
    elif kind < 0.78:
        text = random_number(rng)
    elif kind < 0.86:
        text = "".join(CHARACTERS[i] for i in rng.integers(0, len(CHARACTERS), int(rng.integers(1, 8))))
    elif kind < 0.92:
        text = str(rng.choice(_WORDS))
    elif kind < 0.95:
        text = str(rng.choice(UNITS))
    elif kind < 0.97:
        text = "{:02d}:{:02d}:{:02d}".format(*rng.integers(0, 60, 3))
    return text


def random_line(rng: np.random.Generator, width_px: int) -> tuple[NDArray[np.uint8], str]:
    """One line as the reader meets it: (CROP_HEIGHT_PX, width_px) uint8, and its text without spaces."""
    text = random_text(rng)
    ink, top, bottom = _drawn(text, rng)
    ground = _patch(ink, rng)
    seen = random_camera(rng).expose(ground, rng)
    height = bottom - top
    jitter = rng.uniform(-0.07, 0.07, 2) * height
    left = rng.uniform(0, 1.2 * _MARGIN)
    box = LineBox(left, top + _MARGIN + jitter[0], seen.shape[1] - rng.uniform(0, 2), bottom + _MARGIN + jitter[1])
    crop = np.empty((CROP_HEIGHT_PX, width_px), np.uint8)
    if box.crop_width_px > width_px:
        return random_line(rng, width_px)
    crop_line(seen, box, crop)
    return crop, text.replace(" ", "")


def _drawn(text: str, rng: np.random.Generator) -> tuple[NDArray[np.float32], float, float]:
    """Coverage of `text`, and the upper and lower edge of its digits."""
    if rng.random() < 0.12 and text.isascii():
        return _hershey(text, rng)
    size = float(np.exp(rng.uniform(np.log(10.5), np.log(30))))
    style = TextStyle(
        face=str(rng.choice(TAUGHT_FACES)),
        size_px=float(round(size)),
        snapped=bool(rng.random() < 0.6),
        tracking_px=float(rng.uniform(-0.02, 0.1)) * size if rng.random() < 0.3 else 0.0,
    )
    top, bottom = digit_edges(style)
    ink = draw_text(text, style, float(rng.random()))
    return ink ** np.float32(np.exp(rng.uniform(-0.45, 0.45))), top, bottom


def digit_edges(style: TextStyle) -> tuple[float, float]:
    """Upper and lower edge of the digit 0 in what `draw_text` draws, px, where its coverage passes a half."""
    rows = draw_text("0", replace(style, snapped=True)).max(axis=1)
    inked = np.flatnonzero(rows > 0.5)
    return float(inked[0]), float(inked[-1] + 1)


def _hershey(text: str, rng: np.random.Generator) -> tuple[NDArray[np.float32], float, float]:
    """Coverage by OpenCV's stroke fonts, which many machines' software prints with."""
    font, scale = _HERSHEY[int(rng.integers(len(_HERSHEY)))], float(rng.uniform(0.4, 0.9))
    scale *= 2 if font == cv2.FONT_HERSHEY_PLAIN else 1
    thickness = int(rng.integers(1, 3)) if scale > 0.6 else 1
    (width, height), below = cv2.getTextSize(text or "0", font, scale, thickness)
    (_, digit), _ = cv2.getTextSize("0", font, scale, thickness)
    canvas = np.zeros((height + below + 6, width + 6), np.uint8)
    base = height + 2
    cv2.putText(canvas, text, (2, base), font, scale, (255,), thickness, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255), float(base - digit), float(base + thickness / 2)


def _patch(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """`ink` on a ground with margins, light on dark, sometimes with a rule or a slope of light."""
    ground = float(rng.uniform(0, 120))
    level = float(np.clip(ground + rng.uniform(60, 235), 0, 255))
    patch = np.full((ink.shape[0] + 2 * _MARGIN, ink.shape[1] + 3 * _MARGIN), ground, np.float32)
    if rng.random() < 0.15:
        patch += np.linspace(0, float(rng.uniform(-20, 20)), patch.shape[1], dtype=np.float32)
    if rng.random() < 0.06:
        row = int(rng.choice([0, 1, patch.shape[0] - 2, patch.shape[0] - 1]))
        patch[row] = level
    left = int(rng.integers(_MARGIN, 2 * _MARGIN))
    window = patch[_MARGIN : _MARGIN + ink.shape[0], left : left + ink.shape[1]]
    window += ink[:, : window.shape[1]] * (level - window)
    return patch

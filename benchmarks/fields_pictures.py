"""Pictures for the benchmark of field reading: panels of two machines, and what cameras and software do to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ase_panel import Panel, PanelStyle
from pipeline.ase_parameters import PARAMETERS, draw_values

Rgb = NDArray[np.uint8]
MACHINES: Mapping[str, PanelStyle] = {
    "columns": PanelStyle("dejavu-sans", 15.0),
    "running": PanelStyle("roboto", 15.0, running=True, separator="="),
}
"""Two machines whose typefaces the reader was taught."""
UNSEEN = PanelStyle("humanist", 16.0)
"""A machine with a typeface it was never shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One frame: (480, 640, 3) uint8 RGB as decoded, and what it prints: name -> number, text with unit, no spaces."""

    picture: Rgb
    grey: NDArray[np.uint8]
    values: Mapping[str, float]
    texts: Mapping[str, str]


def _jpeg(picture: Rgb, quality: int) -> Rgb:
    done, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if done else None
    if decoded is None:
        raise ValueError("a panel could not be encoded as JPEG")
    return np.ascontiguousarray(decoded[:, :, ::-1], np.uint8)


def _moved(picture: Rgb, dx_px: float, dy_px: float) -> Rgb:
    motion = np.array([[1, 0, dx_px], [0, 1, dy_px]], np.float64)
    return np.asarray(cv2.warpAffine(picture, motion, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _shift(picture: Rgb, rng: np.random.Generator) -> Rgb:
    """One pixel in a direction of eight, or a part of one."""
    if rng.random() < 0.5:
        return _jpeg(_moved(picture, float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1))), 90)
    turns = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)]
    return _jpeg(_moved(picture, *turns[int(rng.integers(len(turns)))]), 90)


def _noise(picture: Rgb, rng: np.random.Generator) -> Rgb:
    """Gaussian, 10 grey levels, on every channel."""
    noisy = picture + 10 * rng.standard_normal(picture.shape, np.float32)
    return np.asarray(np.clip(np.round(noisy), 0, 255), np.uint8)


CONDITIONS: Mapping[str, Callable[[Rgb, np.random.Generator], Rgb]] = {
    "clean": lambda picture, rng: _jpeg(picture, 90),
    "blur": lambda picture, rng: _jpeg(np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.8), np.uint8), 90),
    "jpeg60": lambda picture, rng: _jpeg(picture, 60),
    "noise": _noise,
    "shift": _shift,
}
"""What a panel goes through: JPEG 90 as it is; blurred by 0.8 px; JPEG 60; noise of 10 grey levels; up to 1 px off."""


class Panels:
    """Endless frames of one machine, without the dots, whose numbers use every digit at every place."""

    def __init__(self, style: PanelStyle, seed: int) -> None:
        self._panel, self._seed = Panel(style), seed

    def show(self, index: int, condition: str) -> Shown:
        """Frame `index` under `condition`; the same every time."""
        rng = np.random.default_rng([self._seed, index, list(CONDITIONS).index(condition)])
        drawn = draw_values(rng, np.random.default_rng([self._seed, index // 50]), float(rng.uniform(0, 4)))
        values = {
            each.name: round(drawn[each.name] + float(rng.uniform(-1, 1)) * 2 * each.spread, each.decimals)
            for each in PARAMETERS
        }
        _keep_physics(values)
        texts = {each.name: each.text(values[each.name]) + (each.unit or "") for each in PARAMETERS}
        picture = CONDITIONS[condition](self._panel.draw(values, f"DB-07  LOT {index:06d}"), rng)
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        shown = {each.name: float(each.text(values[each.name])) for each in PARAMETERS}
        return Shown(picture, grey, shown, texts)


def _keep_physics(values: dict[str, float]) -> None:
    values["US Power"] = round(values["US Current"] * values["US Voltage"])
    values["Coverage"] = min(values["Coverage"], 100.0)
    low, middle, high = sorted((values["Height Min"], values["Height Avg"], values["Height Max"]))
    values["Height Min"], values["Height Avg"], values["Height Max"] = low, middle, high

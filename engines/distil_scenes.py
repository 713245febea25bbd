"""Procedural scenes of what a line inspects: brushed and cast metal, turned parts, printed boards.

They teach the student backbone beside the textures and collages of engines/textures.py. Every function draws from the
generator it is given, so one seed makes one picture.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from engines.textures import Float, Picture, fractal_noise


def metal(rng: np.random.Generator, size_px: int) -> Picture:
    """(size, size, 3) uint8 RGB: brushed or cast metal under uneven light, with grooves and scratches."""
    value = np.full((size_px, size_px), rng.uniform(20, 220), np.float32)
    value += rng.uniform(0, 60) * (fractal_noise(rng, size_px, float(rng.uniform(0.2, 0.6))) - 0.5)
    for _ in range(int(rng.integers(1, 4))):
        value += rng.uniform(1, 25) * _grain(rng, size_px)
    for _ in range(int(rng.integers(0, 5))):
        value += rng.uniform(-60, 60) * _line(rng, size_px)
    return _tinted(rng, value)


def turned_part(rng: np.random.Generator, size_px: int) -> Picture:
    """(size, size, 3) uint8 RGB: round bars lit from one side, plain, ribbed or threaded, before a quiet background."""
    value = np.full((size_px, size_px), rng.uniform(10, 245), np.float32)
    value += rng.uniform(0, 8) * _grain(rng, size_px)
    y, x = np.mgrid[0:size_px, 0:size_px].astype(np.float32)
    for _ in range(int(rng.integers(1, 4))):
        angle, centre = rng.uniform(0, 2 * np.pi), rng.uniform(0, size_px, 2)
        along = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
        across = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
        radius, reach = rng.uniform(0.04, 0.3) * size_px, rng.uniform(0.1, 0.8) * size_px
        period, slant = rng.uniform(2.5, 14), rng.uniform(-0.4, 0.4)
        wave = np.sin(2 * np.pi * (along + slant * across) / period) * rng.choice([0.0, 0.5, 1.0])
        edge = radius * (1 + rng.uniform(0, 0.08) * wave)
        inside = np.clip(edge - np.abs(across) + 0.5, 0, 1) * np.clip(reach - np.abs(along) + 0.5, 0, 1)
        round_ = np.clip(across / radius, -1, 1)
        lit = np.exp(-(((round_ - rng.uniform(-0.8, 0.8)) / rng.uniform(0.1, 0.8)) ** 2))
        shade = rng.uniform(10, 120) + rng.uniform(20, 160) * lit + rng.uniform(0, 50) * wave * np.sqrt(1 - round_**2)
        shade = shade + rng.uniform(0, 10) * _grain(rng, size_px)
        value = value * (1 - inside) + np.asarray(shade, np.float32) * inside
    return _tinted(rng, value)


def board(rng: np.random.Generator, size_px: int) -> Picture:
    """(size, size, 3) uint8 RGB: a printed board: tracks, pads, holes, chips with pins, lettering."""
    base = rng.uniform(5, 200, 3)
    ink: list[Any] = [tuple(float(c) for c in np.clip(base + rng.uniform(-90, 90, 3), 0, 255)) for _ in range(2)]
    tin, dark = tuple([float(rng.uniform(120, 255))] * 3), tuple([float(rng.uniform(5, 70))] * 3)
    picture = np.full((size_px, size_px, 3), base, np.float32)
    picture += (rng.uniform(0, 12) * _grain(rng, size_px))[..., None]
    unit = float(rng.uniform(4, 16))
    for _ in range(int(rng.integers(3, 20))):
        _track(rng, picture, ink[int(rng.integers(2))], unit)
    for _ in range(int(rng.integers(0, 25))):
        _pad(rng, picture, tin, dark, unit)
    for _ in range(int(rng.integers(0, 4))):
        _chip(rng, picture, tin, dark, unit)
    turn = cv2.getRotationMatrix2D((size_px / 2, size_px / 2), float(rng.uniform(0, 360)), 1.0)
    turned = cv2.warpAffine(picture, turn, (size_px, size_px), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(np.clip(turned, 0, 255), np.uint8)


def _track(rng: np.random.Generator, picture: Float, ink: Any, unit: float) -> None:
    """Draw a track, or a bundle of parallel ones, in steps of 45 degrees, in place."""
    at = rng.uniform(0, len(picture), 2)
    points, heading = [at], int(rng.integers(8))
    for _ in range(int(rng.integers(1, 5))):
        step = rng.uniform(1, 8) * unit * np.array([np.cos(heading * np.pi / 4), np.sin(heading * np.pi / 4)])
        points.append(points[-1] + step)
        heading += int(rng.choice([-1, 0, 1]))
    aside = rng.uniform(0.6, 1.5) * unit * np.array([-np.sin(heading * np.pi / 4), np.cos(heading * np.pi / 4)])
    thick = max(1, round(unit * float(rng.uniform(0.15, 0.5))))
    for n in range(int(rng.integers(1, 6))):
        line = np.stack(points) + n * aside
        cv2.polylines(picture, [line.round().astype(np.int32)], False, ink, thick, cv2.LINE_AA)


def _pad(rng: np.random.Generator, picture: Float, tin: Any, dark: Any, unit: float) -> None:
    """Draw a round or square pad, some with a hole or a glint, in place."""
    x, y = (int(v) for v in rng.integers(0, len(picture), 2))
    reach = max(1, round(unit * float(rng.uniform(0.3, 0.9))))
    if rng.random() < 0.5:
        cv2.circle(picture, (x, y), reach, tin, -1, cv2.LINE_AA)
    else:
        tall = max(1, round(reach * float(rng.uniform(0.4, 2))))
        cv2.rectangle(picture, (x - reach, y - tall), (x + reach, y + tall), tin, -1)
    if rng.random() < 0.4:
        cv2.circle(picture, (x, y), max(1, reach // 2), dark, -1, cv2.LINE_AA)
    elif rng.random() < 0.4:
        cv2.circle(picture, (x + reach // 3, y - reach // 3), max(1, reach // 3), (255, 255, 255), -1, cv2.LINE_AA)


def _chip(rng: np.random.Generator, picture: Float, tin: Any, dark: Any, unit: float) -> None:
    """Draw a dark body with rows of pins and a word on it, in place."""
    x, y = rng.uniform(0, len(picture), 2)
    n_pins, pitch = int(rng.integers(1, 9)), unit * float(rng.uniform(0.5, 1.2))
    wide, tall = n_pins * pitch, pitch * float(rng.uniform(1, 5))
    for side in (-1, 1):
        for pin in range(n_pins):
            at = x + (pin + 0.25) * pitch
            top = y + side * tall / 2
            left, right = (round(at), round(top - pitch / 2)), (round(at + pitch / 2), round(top + pitch / 2))
            cv2.rectangle(picture, left, right, tin, -1)
    cv2.rectangle(picture, (round(x), round(y - tall / 2)), (round(x + wide), round(y + tall / 2)), dark, -1)
    word = "".join(chr(int(c)) for c in rng.integers(48, 91, int(rng.integers(1, 7))))
    grey = tuple([float(rng.uniform(60, 255))] * 3)
    cv2.putText(picture, word, (round(x), round(y)), cv2.FONT_HERSHEY_SIMPLEX, unit / 30, grey, 1, cv2.LINE_AA)


def _grain(rng: np.random.Generator, size_px: int) -> Float:
    """(size, size) noise of mean 0 and spread 1, stretched along a random direction."""
    side = int(1.5 * size_px)
    white = rng.standard_normal((side, side)).astype(np.float32)
    long_px, short_px = np.exp(rng.uniform(np.log([0.5, 0.4]), np.log([25, 2])))
    fibrous = cv2.GaussianBlur(white, (0, 0), float(long_px), sigmaY=float(short_px))
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(0, 180)), 1.0)
    turn[:, 2] -= np.array([(side - size_px) / 2, (side - size_px) / 2])
    turned = cv2.warpAffine(fibrous, turn, (size_px, size_px), borderMode=cv2.BORDER_REFLECT)
    return np.asarray((turned - turned.mean()) / max(float(turned.std()), 1e-6), np.float32)


def _line(rng: np.random.Generator, size_px: int) -> Float:
    """(size, size) in [0, 1]: one straight or bent scratch or groove, from hair to band."""
    mask = np.zeros((size_px, size_px), np.uint8)
    ends = rng.uniform(-0.2, 1.2, (int(rng.integers(2, 4)), 2)) * size_px
    thick = max(1, round(float(np.exp(rng.uniform(0, np.log(size_px / 6))))))
    cv2.polylines(mask, [ends.astype(np.int32)], False, (255,), thick, cv2.LINE_AA)
    soft = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.3, 3))).astype(np.float32)
    return np.asarray(soft / 255, np.float32)


def _tinted(rng: np.random.Generator, value: Float) -> Picture:
    tint = np.ones(3) if rng.random() < 0.7 else rng.uniform(0.8, 1.2, 3)
    return np.asarray(np.clip(value[..., None] * tint, 0, 255), np.uint8)

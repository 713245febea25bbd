"""What cameras and files do to a scene: grey sensors, weak contrast, glints, soft focus, enlargement, noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from engines.synthetic_defects import spoil
from engines.textures import Float, Picture


def exposed(rng: np.random.Generator, picture: Picture) -> Picture:
    """`picture` (H, W, 3) uint8 RGB as some camera might have sent it."""
    value = picture.astype(np.float32)
    if rng.random() < 0.6:
        value = np.repeat(value.mean(2, keepdims=True), 3, 2)
    if rng.random() < 0.4:
        weak = float(np.exp(rng.uniform(np.log(0.06), np.log(0.7))))
        value = np.float32(rng.uniform(10, 240)) + np.float32(weak) * (value - value.mean())
    if rng.random() < 0.12:
        _add_glints(rng, value)
    if rng.random() < 0.25:
        value = _enlarged(rng, value)
    elif rng.random() < 0.3:
        sigma_x, sigma_y = np.exp(rng.uniform(np.log(0.4), np.log(2.5), 2))
        value = np.asarray(cv2.GaussianBlur(value, (0, 0), float(sigma_x), sigmaY=float(sigma_y)), np.float32)
    noise = rng.standard_normal(value.shape if rng.random() < 0.3 else (*value.shape[:2], 1)).astype(np.float32)
    value = value + np.float32(rng.choice([0, 0.7, 1.5, 3, 6])) * noise
    sent = np.asarray(np.clip(value, 0, 255), np.uint8)
    return _through_jpeg(rng, sent) if rng.random() < 0.35 else sent


def _add_glints(rng: np.random.Generator, value: Float) -> None:
    """Bright spots and streaks, in place; the sensor saturates there."""
    height, width = value.shape[:2]
    for _ in range(int(rng.integers(1, 6))):
        spot = np.zeros((height, width), np.float32)
        at = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(1, width // 6)), int(rng.integers(1, 6)))
        cv2.ellipse(spot, at, axes, float(rng.uniform(0, 180)), 0, 360, (1.0,), -1, cv2.LINE_AA)
        value += float(rng.uniform(60, 300)) * cv2.GaussianBlur(spot, (0, 0), float(rng.uniform(0.5, 3)))[..., None]


def _enlarged(rng: np.random.Generator, value: Float) -> Float:
    """As if sent smaller, by up to four times, and enlarged to the size inspected."""
    height, width = value.shape[:2]
    times = float(rng.uniform(1.3, 4))
    small = cv2.resize(value, (round(width / times), round(height / times)), interpolation=cv2.INTER_AREA)
    small = small + np.float32(rng.choice([0, 1, 3])) * np.asarray(rng.standard_normal(small.shape), np.float32)
    way = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(small, (width, height), interpolation=way), np.float32)


def _through_jpeg(rng: np.random.Generator, picture: Picture) -> Picture:
    """`picture` after JPEG of a random quality."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 97))])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def seen_again(rng: np.random.Generator, picture: Picture) -> Picture:
    """`picture` (H, W, 3) uint8 as another part shows it: mostly with defects, faint or bold, and moved a little."""
    value = picture
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.25, 0.25, 0.3, 0.2]))):
        spoilt = spoil(rng, value)[0].astype(np.float32)
        if (picture == picture[:, :, :1]).all():
            spoilt = np.repeat(spoilt.mean(2, keepdims=True), 3, 2)
        share = np.float32(np.exp(rng.uniform(np.log(0.15), 0)))
        value = np.asarray(np.clip(value + share * (spoilt - value), 0, 255), np.uint8)
    if rng.random() < 0.5:
        height, width = picture.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 0.3)), 1.0)
        turn = turn + np.concatenate([np.zeros((2, 2)), rng.normal(0, 0.4, (2, 1))], 1)
        value = np.asarray(cv2.warpAffine(value, turn, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8)
    lit = value.astype(np.float32)
    if rng.random() < 0.4:
        lit = lit * np.float32(rng.normal(1, 0.03)) + np.float32(rng.normal(0, 2))
    lit = lit + np.float32(rng.choice([0, 1, 2])) * rng.standard_normal((*lit.shape[:2], 1)).astype(np.float32)
    return np.asarray(np.clip(lit, 0, 255), np.uint8)

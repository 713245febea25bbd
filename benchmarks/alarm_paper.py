"""The two experiments of 003 §4 on systematic errors, again: a scratch on 1046 textures, ink on 500 text pictures.

Textures are crops of the DAGM pictures (class 4, good), turned and taken anew until there are 1046; without the data
they are generated. Every picture gets the same scratch at the same place. Window by window, of 31 and of 255
pictures, the median-gradient map is held against no baseline at all; the mark must be found on the marked ones and
the map be blank on the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.align_truth import data_folder
from pipeline.offline import Watched, blank_baseline, watch
from schemas.aligned import AlignedFrame, AlignedHeader
from schemas.recipe import WindowSettings
from schemas.verdict import Box

N_TEXTURES, N_TEXTS, SIDE_PX = 1046, 500, 80
WINDOWS = (31, 255)
Grey = NDArray[np.uint8]
_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Found:
    """What the map said of one film. `iou`: the largest confirmed region's with the mark's box; 0 without any."""

    n_pictures: int
    n_alerts: int
    first_suspected: int | None
    iou: float


def textures(n: int) -> Iterator[Grey]:
    """Crops of 80x80 px; real ones where the data is."""
    rng = np.random.default_rng(11)
    paths = sorted((data_folder() / "dagm_class4" / "good").glob("*"))
    pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
    held = [np.asarray(picture, np.uint8) for picture in pictures if picture is not None]
    for number in range(n):
        if held:
            picture = np.rot90(held[number % len(held)], int(rng.integers(4)))
        else:
            noise = rng.normal(0, 1, (96, 96)).astype(np.float32)
            picture = np.clip(128 + 60 * cv2.GaussianBlur(noise, (0, 0), 1.5), 0, 255).astype(np.uint8)
        y, x = (int(v) for v in rng.integers(0, np.array(picture.shape) - SIDE_PX + 1))
        yield np.ascontiguousarray(picture[y : y + SIDE_PX, x : x + SIDE_PX])


def texts(n: int) -> Iterator[Grey]:
    """Pictures of printed words and numbers, no two alike, slightly noisy."""
    rng = np.random.default_rng(12)
    letters = list("ABCDEFGHKLMNPRSTUVWXYZ0123456789")
    for _ in range(n):
        picture = np.full((SIDE_PX, 160), 225, np.uint8)
        for line in range(4):
            word = "".join(rng.choice(letters, int(rng.integers(6, 11))))
            at = (int(rng.integers(2, 12)), 17 + 19 * line + int(rng.integers(-2, 3)))
            cv2.putText(picture, word, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 30, 1, cv2.LINE_AA)
        yield np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def scratched(picture: Grey) -> Grey:
    """`picture` with the scratch: a slanted line 2 px wide, 45 grey levels darker."""
    mask = np.zeros(picture.shape, np.uint8)
    cv2.line(mask, (20, 30), (60, 44), 255, 2, cv2.LINE_AA)
    return np.clip(picture - mask.astype(np.float32) * (45 / 255), 0, 255).astype(np.uint8)


SCRATCH: Box = (19, 29, 43, 17)


def inked(picture: Grey) -> Grey:
    """`picture` with a drop of ink of 5 px radius."""
    mask = np.zeros(picture.shape, np.uint8)
    cv2.circle(mask, (101, 38), 5, 255, -1, cv2.LINE_AA)
    return np.clip(picture - mask.astype(np.float32) * (150 / 255), 0, 255).astype(np.uint8)


INK: Box = (96, 33, 11, 11)


def follow(film: list[Grey], mark: Box, window_frames: int) -> Found:
    """The alerts of a film whose baseline is blank."""
    settings = WindowSettings(frames=window_frames)
    baseline = blank_baseline(_frames(film, settings))
    return _found(watch(_frames(film, settings), baseline, None), mark, len(film))


def _frames(pictures: list[Grey], window: WindowSettings) -> Iterator[AlignedFrame | None]:
    for number, picture in enumerate(pictures, 1):
        header = AlignedHeader(
            frame_id=str(number), station="bench/paper/films", product="film", epoch=None, sequence=number,
            captured_at=_START + timedelta(seconds=number), bundle_sha256="-", template_sha256="-", recipe_revision=1,
            score=0.0, residual=0.0, cell_threshold=1.0, transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
            frame_size_px=(picture.shape[1], picture.shape[0]), window=window,
        )  # fmt: skip
        yield AlignedFrame(header, picture, np.zeros((16, 16), np.float32))


def _found(watched: Watched, mark: Box, n_pictures: int) -> Found:
    suspected = [alert for alert in watched.alerts if alert.state.value == "suspected"]
    confirmed = [alert for alert in watched.alerts if alert.state.value == "confirmed"]
    overlap = max((iou(alert.region_px, mark) for alert in confirmed), default=0.0)
    first = suspected[0].last_sequence if suspected else None
    return Found(n_pictures, len(suspected), first, overlap)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def both_experiments() -> dict[str, Found]:
    """The paper's two films, each marked and plain."""
    plain, printed = list(textures(N_TEXTURES)), list(texts(N_TEXTS))
    films = {
        "scratch_on_1046_textures": ([scratched(picture) for picture in plain], SCRATCH),
        "1046_textures_without": (plain, SCRATCH),
        "ink_on_500_texts": ([inked(picture) for picture in printed], INK),
        "500_texts_without": (printed, INK),
    }
    return {f"{name}_w{w}": follow(film, mark, w) for w in WINDOWS for name, (film, mark) in films.items()}

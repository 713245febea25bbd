"""The pictures of docs/systematic.md: ``python -m benchmarks.systematic_pictures docs/images``.

A simulated part with sensor noise is marked from part 20 on. Drawn are the alert's picture, and how the chart of the
struck cell and the share of marked frames in the window rise, part by part. The same bytes every time.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.baseline import learn_baseline
from pipeline.chart import UNITS_PER_NAT
from pipeline.gradient_map import ALONE_NOISE, deviation, magnitude
from pipeline.offline import watch
from schemas.aligned import AlignedFrame, AlignedHeader
from schemas.recipe import WindowSettings

SIDE_PX, GRID, ONSET, N_PARTS = 192, 24, 20, 60
Grey = NDArray[np.uint8]
_START = datetime(2026, 1, 1, tzinfo=UTC)


def part() -> Grey:
    """A plate with two holes and a slot."""
    grey = np.full((SIDE_PX, SIDE_PX), 150, np.uint8)
    cv2.rectangle(grey, (18, 18), (173, 173), 185, -1)
    for centre in ((55, 58), (137, 58)):
        cv2.circle(grey, centre, 17, 70, -1, cv2.LINE_AA)
    cv2.rectangle(grey, (50, 128), (142, 142), 95, -1)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.uint8)


def exposed(number: int, marked: bool) -> Grey:
    """Part `number` as the camera sees it."""
    picture = part()
    if marked:
        cv2.line(picture, (84, 90), (124, 108), 120, 2, cv2.LINE_AA)
    noise = np.random.default_rng([3, number]).normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def frame(number: int) -> AlignedFrame:
    """The aligned frame of part `number`, the score grid hit where the mark is."""
    marked = number >= ONSET
    hits = (np.random.default_rng([4, number]).random((GRID, GRID)) < 1e-3).astype(np.float32)
    if marked:
        for x, y in ((86, 91), (96, 96), (106, 100), (118, 105)):
            hits[y * GRID // SIDE_PX, x * GRID // SIDE_PX] = 1.0
    header = AlignedHeader(
        frame_id=str(number), station="lab/line1/cam0", product="plate", epoch="boot", sequence=number,
        captured_at=_START + timedelta(seconds=number), bundle_sha256="-", template_sha256="-", recipe_revision=1,
        score=0.0, residual=0.02, cell_threshold=0.5, transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        frame_size_px=(SIDE_PX, SIDE_PX), window=WindowSettings(),
    )  # fmt: skip
    return AlignedFrame(header, exposed(number, marked), hits)


def side_by_side(pictures: list[tuple[str, Grey]]) -> Grey:
    """Grey pictures under their titles."""
    columns = []
    for title, picture in pictures:
        strip = np.full((24, picture.shape[1]), 255, np.uint8)
        cv2.putText(strip, title, (2, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 0, 1, cv2.LINE_AA)
        columns += [np.vstack((strip, picture)), np.full((24 + picture.shape[0], 8), 255, np.uint8)]
    return np.hstack(columns[:-1])


def draw_chart(
    statistic: list[float], threshold: float, share: list[float], raised: dict[str, int]
) -> NDArray[np.uint8]:
    """Both curves over the parts, with the moments at which the alert changed."""
    width, height, left, top = 640, 260, 46, 18
    canvas = np.full((height, width, 3), 255, np.uint8)
    most = max(*statistic, threshold) * 1.1
    right, bottom = width - 12, height - 34

    def at(number: int, value: float) -> tuple[int, int]:
        return left + number * (right - left) // len(statistic), round(bottom - value * (bottom - top))

    cv2.rectangle(canvas, (left, top), (right, bottom), (200, 200, 200), 1)
    for values, scale, colour in ((statistic, most, (40, 60, 210)), (share, 1.1, (170, 120, 40))):
        points = np.array([at(number, value / scale) for number, value in enumerate(values)], np.int32)
        cv2.polylines(canvas, [points], False, colour, 2, cv2.LINE_AA)
    cv2.line(canvas, at(0, threshold / most), at(len(statistic), threshold / most), (40, 60, 210), 1)
    for word, number in raised.items():
        x, _ = at(number - 1, 0)
        cv2.line(canvas, (x, top), (x, bottom), (120, 120, 120), 1)
        above = top + (14 if word == "suspected" else 30 if word == "confirmed" else 46)
        cv2.putText(canvas, word, (x + 4, above), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
    legend = "red: evidence in the struck cell, and its alarm level   blue: share of the window that is marked"
    cv2.putText(canvas, legend, (left, height - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (60, 60, 60), 1, cv2.LINE_AA)
    return canvas


def main(folder: Path) -> None:
    """Write the three pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    baseline = learn_baseline([exposed(10_000 + number, False) for number in range(100)])
    watched = watch((frame(number) for number in range(1, N_PARTS + 1)), baseline, part())
    raised = {alert.state.value: alert.last_sequence for alert in watched.alerts}
    (folder / "systematic_alert.png").write_bytes(next(iter(watched.pictures.values())))
    window = watched.state.window
    shared = np.clip(magnitude(window.twice_median()) * 3, 0, 255).astype(np.uint8)
    strength = deviation(window, baseline)
    differs = np.clip(strength / ALONE_NOISE * 128, 0, 255).astype(np.uint8)
    maps = [("one part", exposed(N_PARTS, True)), ("edges all parts share", shared), ("less the baseline", differs)]
    cv2.imwrite(str(folder / "systematic_maps.png"), side_by_side(maps))
    statistic, share, threshold = [], [], 1.0
    cell = (96 * GRID // SIDE_PX) * GRID + 96 * GRID // SIDE_PX
    for end in range(1, N_PARTS + 1):
        alarm = watch((frame(number) for number in range(1, end + 1)), baseline, part()).state.scene.alarm
        statistic.append(int(alarm.cells.statistic[0, cell]) / UNITS_PER_NAT)
        threshold = int(alarm.cells.threshold[0, alarm.cells.kind[cell]]) / UNITS_PER_NAT
        share.append(min(max(end - ONSET + 1, 0), 31) / 31)
    cv2.imwrite(
        str(folder / "systematic_chart.png"), draw_chart(statistic, threshold, share, {"onset": ONSET, **raised})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The picture of docs/training.md: ``python -m benchmarks.training_picture docs/images``.

The report of a training on rendered plates, one of which carries a dot of a pen that nobody called a defect, with a
few parts that are known to be defective. The same bytes every time.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.plate_bundle import BUNDLE, train_on_plates
from pipeline.plate import SimulatedLine, encode_png, write_good_parts
from pipeline.train_settings import TrainSettings

SIDE_PX, N_GOOD, N_BAD, DOTTED = 512, 60, 12, 23


def main() -> None:
    """Write training.jpg into the folder given."""
    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="sightline-") as made:
        good = write_good_parts(Path(made) / "good", N_GOOD, size_px=SIDE_PX)
        _dot(good[DOTTED])
        summary = train_on_plates(Path(made), good, _defective(Path(made) / "bad"), TrainSettings())
        report = np.asarray(cv2.imread(str(Path(made, BUNDLE).with_suffix(".report.png"))))
        cv2.imwrite(str(folder / "training.jpg"), report, [cv2.IMWRITE_JPEG_QUALITY, 80])
    print(summary.text())


def _dot(path: Path) -> None:
    picture = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    cv2.circle(picture, (180, 330), 3, (140,), -1, cv2.LINE_AA)
    path.write_bytes(encode_png(np.asarray(picture, np.uint8)))


def _defective(folder: Path) -> list[Path]:
    folder.mkdir()
    line = SimulatedLine(size_px=SIDE_PX, defect_rate=1.0)
    paths = [folder / f"{index}.png" for index in range(1000, 1000 + N_BAD)]
    for path in paths:
        path.write_bytes(encode_png(line.unit(int(path.stem)).picture))
    return paths


if __name__ == "__main__":
    main()

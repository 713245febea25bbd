"""The picture of docs/training.md: ``python -m benchmarks.training_picture docs/images``.

The report of a training on rendered plates, one of which carries a dot of a pen that nobody called a defect, with a
few parts that are known to be defective. The same bytes every time.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from pipeline.bundling import train_bundle
from pipeline.plate import SimulatedLine, encode_png, write_good_parts
from pipeline.train_settings import TrainSettings

SIDE_PX, N_GOOD, N_BAD, DOTTED = 512, 60, 12, 23


def main() -> None:
    """Write training.jpg into the folder given."""
    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="sightline-") as made:
        good = write_good_parts(Path(made) / "good", N_GOOD, size_px=SIDE_PX)
        _dot(good[DOTTED])
        out = Path(made) / "plate.bundle"
        summary = train_bundle(
            "plate",
            good,
            _defective(Path(made) / "bad"),
            backbone="student",
            weights=None,
            colour="grey",
            settings=TrainSettings(),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            out=out,
            progress=lambda what, done, total: None,
        )
        report = np.asarray(cv2.imread(str(out.with_suffix(".report.png"))))
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

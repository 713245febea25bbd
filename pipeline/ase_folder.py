"""A folder of ASE-like pictures: JPEG files and labels.csv, as `sightline train --fields --labels` reads them.

python -m pipeline.ase_folder ase/ --count 971 --seed 7
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

from pipeline.ase_line import BLOCK, AseLine
from pipeline.ase_parameters import PARAMETERS

LABELS = "labels.csv"
COLUMNS = ("picture", "label", "kind", "shown", "lot")
"""Columns of labels.csv before one for every parameter's true value; `train` needs only the first two."""

Progress = Callable[[str, int, int], None]


def write_ase_folder(folder: Path, line: AseLine, count: int, first: int = 0, progress: Progress | None = None) -> Path:
    """Write parts `first` to `first + count` of `line` and their labels; returns the path of labels.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = folder / LABELS
    with labels.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*COLUMNS, *(each.name for each in PARAMETERS)])
        for done in range(count):
            sample = line.sample(first + done)
            path = folder / f"{sample.unit_id}.jpg"
            path.write_bytes(sample.jpeg)
            values = [sample.fields[each.name].text for each in PARAMETERS]
            table.writerow([path.name, sample.label, sample.kind.value, int(sample.shown), sample.lot, *values])
            if progress is not None:
                progress("pictures", done + 1, count)
    return labels


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to write into")
    parser.add_argument("--count", type=int, default=BLOCK, help=f"pictures; {BLOCK} as in the paper, or 10 times that")
    parser.add_argument("--first", type=int, default=0, help="number of the first part")
    parser.add_argument("--seed", type=int, default=7, help="which line")
    asked = parser.parse_args()
    print(write_ase_folder(asked.folder, AseLine(asked.seed), asked.count, asked.first))

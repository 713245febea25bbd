"""Labelled pictures for fusing: labels.csv says which part is good and which is defective."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.oanet_lessons import Progress
from pipeline.decode import DecodeRules
from pipeline.field_reader import FieldReader
from pipeline.fusion_members import part_crop, values_of
from pipeline.good_parts import read_picture
from schemas.errors import InputError
from schemas.verdict import Box

GOOD, DEFECTIVE = "good", "defective"
LEAST_OF_EACH = 25


@dataclass(frozen=True, slots=True, eq=False)
class LabelledParts:
    """`crops` (N, h, w, 3) uint8 RGB of the part; `values` (N, F) as read, NaN where not; `defective` (N,) bool."""

    names: tuple[str, ...]
    crops: NDArray[np.uint8]
    values: NDArray[np.float64]
    defective: NDArray[np.bool_]


def read_labels(path: Path) -> list[tuple[Path, bool]]:
    """Pictures, which lie beside `path`, and whether each is defective; columns `picture` and `label`.

    Raises: InputError naming the line that is wrong, or too few parts of a kind.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise InputError(f"labels {path} cannot be read: {exc}") from exc
    if not rows or not {"picture", "label"} <= set(rows[0]):
        raise InputError(f"{path} wants a first line with the columns picture and label, and a line a picture after it")
    found: list[tuple[Path, bool]] = []
    for number, row in enumerate(rows, 2):
        if row["label"] not in (GOOD, DEFECTIVE) or not row["picture"]:
            raise InputError(
                f"{path}, line {number}: label {row['label']!r} of {row['picture']!r}; write good or defective"
            )
        found.append((path.parent / row["picture"], row["label"] == DEFECTIVE))
    for kind, name in ((False, GOOD), (True, DEFECTIVE)):
        n = sum(each == kind for _, each in found)
        if n < LEAST_OF_EACH:
            raise InputError(f"{path} has {n} {name} parts; fusing wants {LEAST_OF_EACH} of each, better hundreds")
    return found


def load_labelled(
    labels: Path, reader: FieldReader, part_px: Box, rules: DecodeRules, progress: Progress
) -> LabelledParts:
    """Every picture of `labels`, its fields read as the line will read them.

    Raises: InputError for a picture that cannot be used, or of another size than the layout.
    """
    names = tuple(field.name for field in reader.layout.fields if field.trusted)
    crops, values, defective = [], [], []
    parts = read_labels(labels)
    for number, (path, bad) in enumerate(parts, 1):
        picture, _ = read_picture(path, rules)
        if picture.size_px != reader.layout.frame_size_px:
            raise InputError(f"{path} is {picture.size_px} px, the layout is for {reader.layout.frame_size_px}")
        crops.append(part_crop(picture, part_px))
        values.append(values_of(reader.read(picture.grey).readings(), names))
        defective.append(bad)
        progress("labelled pictures", number, len(parts))
    return LabelledParts(names, np.stack(crops), np.stack(values), np.array(defective))

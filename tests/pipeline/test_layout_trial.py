"""Our reader beside the reference reader: a field they contradict each other on is not trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.cnocr_reader import CnOcrReader
from engines.reader import Reader, default_model
from pipeline.field_reader import FieldReader
from pipeline.layout_drawing import draw_layout
from pipeline.layout_search import find_layout
from pipeline.layout_trial import distrust, try_layout
from tests.pipeline.panels import COLUMNS, grey_of, pieces_of_sample, samples

PARTS = samples(COLUMNS, 4)


class KnowsTheTruth:
    """A reference reader that answers what is printed, but for one field, which it reads as it is told."""

    def __init__(self, wrong: dict[str, str]) -> None:
        self._wrong, self._asked = wrong, 0

    def read_many(self, lines: Sequence[NDArray[np.uint8]]) -> list[tuple[str, float]]:
        fields = PARTS[self._asked].fields
        self._asked += 1
        assert len(lines) == len(fields)
        return [(self._wrong.get(name, f"{each.text} {each.unit or ''}"), 0.99) for name, each in fields.items()]


@pytest.fixture(scope="module")
def reader() -> FieldReader:
    layout, reference, _ = find_layout(
        "ase", [part.picture for part in PARTS], [grey_of(part.picture) for part in PARTS],
        [pieces_of_sample(part, COLUMNS) for part in PARTS],
    )  # fmt: skip
    return FieldReader(layout, reference, Reader.load(default_model()))


def tried(reader: FieldReader, wrong: dict[str, str]) -> dict[str, tuple[int, int, int]]:
    reference = cast(CnOcrReader, KnowsTheTruth(wrong))
    trials = try_layout(reader, [grey_of(part.picture) for part in PARTS], reference, lambda what, done, total: None)
    return {trial.name: (trial.n_read, trial.n_agree, trial.n_disagree) for trial in trials}


def test_readers_that_agree_leave_every_field_trusted(reader: FieldReader) -> None:
    outcome = tried(reader, {})
    assert all(n_disagree == 0 and n_read == n_agree for n_read, n_agree, n_disagree in outcome.values())
    assert sum(n_read for n_read, _, _ in outcome.values()) >= 0.9 * 16 * len(PARTS)


def test_another_number_in_the_right_format_is_a_contradiction_and_garbage_is_not(reader: FieldReader) -> None:
    outcome = tried(reader, {"BLT": "99.9 um", "Coverage": "g7.4 %"})
    assert outcome["BLT"][2] == outcome["BLT"][0] > 0
    assert outcome["Coverage"][2] == 0


def test_a_contradicted_field_is_never_read_again(reader: FieldReader) -> None:
    reference = cast(CnOcrReader, KnowsTheTruth({"BLT": "99.9 um"}))
    trials = try_layout(reader, [grey_of(part.picture) for part in PARTS], reference, lambda what, done, total: None)
    layout = distrust(reader.layout, trials)
    assert [field.name for field in layout.fields if not field.trusted] == ["BLT"]
    again = FieldReader(layout, reader.reference, Reader.load(default_model()))
    value = next(each for each in again.read(grey_of(PARTS[0].picture)).values if each.name == "BLT")
    assert value.value is None and "does not trust" in value.detail


def test_the_drawing_is_a_picture_at_twice_the_size(reader: FieldReader) -> None:
    png = draw_layout(reader.layout, PARTS[0].picture, {"BLT": "24.5"})
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape == (960, 1280, 3)

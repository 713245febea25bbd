"""Reading a frame's printed parameters: right, or abstained with a reason; never a guess."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.reader import Reader, ReadText, default_model
from pipeline.ase_line import AseLine
from pipeline.ase_panel import PanelStyle
from pipeline.field_reader import FieldReader, FieldsRead, judge_text
from pipeline.layout_search import find_layout
from schemas.errors import SetupError
from schemas.frame import Parameter
from schemas.verdict import FieldStatus
from tests.pipeline.panels import COLUMNS, RUNNING, grey_of, pieces_of_sample, samples

LINE = AseLine(3)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load(default_model())


def field_reader(style: PanelStyle, reader: Reader) -> FieldReader:
    parts = samples(style)
    layout, reference, _ = find_layout(
        "ase", [part.picture for part in parts], [grey_of(part.picture) for part in parts],
        [pieces_of_sample(part, style) for part in parts],
    )  # fmt: skip
    return FieldReader(layout, reference, reader)


@pytest.fixture(scope="module")
def columns(reader: Reader) -> FieldReader:
    return field_reader(COLUMNS, reader)


def statuses(read: FieldsRead) -> dict[str, FieldStatus]:
    return {value.name: value.status for value in read.values}


def reprinted(name: str, text: str, index: int = 500) -> NDArray[np.uint8]:
    """Part `index` with `text` in place of the number of field `name`; (480, 640) grey."""
    sample = LINE.sample(index)
    values = {each: printed.value for each, printed in sample.fields.items() if each != name}
    picture = LINE.panel.draw(values, "DB-07")
    LINE.panel.print_text(picture, name, text)
    return grey_of(picture)


@pytest.mark.parametrize("style", [COLUMNS, RUNNING], ids=["columns", "running"])
def test_every_field_of_unseen_parts_is_read_right_or_abstained(style: PanelStyle, reader: Reader) -> None:
    fields, line = field_reader(style, reader), AseLine(4, style=style)
    n_read = n = 0
    for index in range(30):
        sample = line.sample(index)
        for value in fields.read(grey_of(sample.picture)).values:
            n += 1
            if value.value is not None:
                n_read += 1
                assert value.value == sample.fields[value.name].value
                assert value.unit == sample.fields[value.name].unit
    assert n_read > 0.97 * n


def test_the_same_frame_gives_the_same_answer_from_memory(columns: FieldReader) -> None:
    grey = grey_of(LINE.sample(700).picture)
    columns.forget()
    first, second = columns.read(grey), columns.read(grey)
    assert first.values == second.values
    assert first.n_cached == 0 and second.n_cached == len(columns.layout.fields)


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, -1), (2, 2), (-3, 1)])
def test_a_panel_that_moved_by_pixels_is_followed(dx: int, dy: int, columns: FieldReader) -> None:
    sample = LINE.sample(701)
    moved = np.roll(grey_of(sample.picture), (dy, dx), (0, 1))
    read = columns.read(moved)
    assert sum(value.value is not None for value in read.values) >= 15
    assert all(value.value in (None, sample.fields[value.name].value) for value in read.values)


def test_a_layout_that_does_not_fit_gives_no_numbers_and_says_so(columns: FieldReader) -> None:
    other = grey_of(AseLine(3, style=RUNNING).sample(5).picture)
    read = columns.read(other)
    assert read.too_few and all(value.value is None for value in read.values)
    assert "does not fit" in read.detail
    shifted = np.roll(grey_of(LINE.sample(3).picture), 40, axis=1)
    assert all(value.value is None for value in columns.read(shifted).values)


def test_an_unreadable_picture_is_abstained(columns: FieldReader) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640), np.uint8)
    assert columns.read(noise).too_few
    assert columns.read(np.zeros((480, 640), np.uint8)).too_few
    assert "480x640" in columns.read(np.zeros((640, 480), np.uint8)).detail
    blurred = cv2.GaussianBlur(grey_of(LINE.sample(3).picture), (0, 0), 4)
    assert all(value.value is None for value in columns.read(np.asarray(blurred, np.uint8)).values)


@pytest.mark.parametrize(
    ("name", "text", "statuses_allowed"),
    [
        ("Bond Force", "35,8", {FieldStatus.ABSTAINED}),
        ("Bond Force", "358", {FieldStatus.ABSTAINED}),
        ("Bond Force", "OVR", {FieldStatus.OUT_OF_RANGE, FieldStatus.ABSTAINED}),
        ("Bond Force", "----", {FieldStatus.MISSING, FieldStatus.ABSTAINED}),
        ("Bond Force", "1234567.8", {FieldStatus.ABSTAINED, FieldStatus.OUT_OF_RANGE}),
        ("Bond Force", "-35.8", {FieldStatus.OUT_OF_RANGE}),
        ("Tilt X", "-0.31", {FieldStatus.READ}),
        ("BLT", "24.5 k", {FieldStatus.MISMATCH, FieldStatus.ABSTAINED}),
    ],
)
def test_odd_print_gets_a_status_and_never_a_guess(
    name: str, text: str, statuses_allowed: set[FieldStatus], columns: FieldReader
) -> None:
    value = next(each for each in columns.read(reprinted(name, text)).values if each.name == name)
    assert value.status in statuses_allowed, value
    if value.value is not None:
        assert value.value == float(text)
    assert value.detail or value.status is FieldStatus.READ


def test_a_field_that_is_not_printed_is_not_read(columns: FieldReader) -> None:
    read = columns.read(reprinted("Coverage", ""))
    value = next(each for each in read.values if each.name == "Coverage")
    assert value.value is None and value.status in (FieldStatus.MISSING, FieldStatus.ABSTAINED)
    assert not read.too_few


def test_digital_parameters_win_and_disagreements_are_reported(columns: FieldReader) -> None:
    sample = LINE.sample(702)
    force = sample.fields["Bond Force"].value
    read = columns.read(grey_of(sample.picture), {"bond_force": Parameter(force, "gf"), "BLT": Parameter(1.0, "um")})
    assert statuses(read)["Bond Force"] is FieldStatus.READ
    assert statuses(read)["BLT"] is FieldStatus.MISMATCH
    assert next(value for value in read.values if value.name == "BLT").value == 1.0


def test_an_unsure_a_cut_or_a_distrusted_line_is_abstained(columns: FieldReader) -> None:
    field = columns.layout.fields[0]
    sure = ReadText("35.8gf", 0.999)
    assert judge_text(sure, field, 0.98).value == 35.8
    assert judge_text(sure, field, 0.9995).status is FieldStatus.ABSTAINED
    assert judge_text(sure, field, 0.98, cut=True).status is FieldStatus.ABSTAINED
    assert judge_text(sure, field.model_copy(update={"trusted": False}), 0.98).status is FieldStatus.ABSTAINED


def test_a_layout_without_print_where_its_names_should_be_is_refused(columns: FieldReader, reader: Reader) -> None:
    with pytest.raises(SetupError, match="shows no print"):
        FieldReader(columns.layout, np.zeros((480, 640), np.uint8), reader)
    with pytest.raises(SetupError, match="find the layout again"):
        FieldReader(columns.layout, np.zeros((100, 100), np.uint8), reader)


def test_dark_print_on_a_light_ground_is_found_and_read_as_well(reader: Reader) -> None:
    parts = samples(COLUMNS)
    pictures = [np.asarray(255 - part.picture, np.uint8) for part in parts]
    layout, reference, _ = find_layout(
        "ase", pictures, [grey_of(each) for each in pictures], [pieces_of_sample(part, COLUMNS) for part in parts]
    )
    assert all(field.dark_ink for field in layout.fields)
    sample = LINE.sample(703)
    values = FieldReader(layout, reference, reader).read(grey_of(np.asarray(255 - sample.picture, np.uint8))).values
    assert sum(value.value is not None for value in values) >= 14
    assert all(value.value in (None, sample.fields[value.name].value) for value in values)

"""Finding a layout from what an OCR found: every field, its format, its place, and how fields belong together."""

from __future__ import annotations

import numpy as np
import pytest

from engines.cnocr_reader import FoundText
from pipeline.ase_panel import DOTS_PX, Panel, PanelStyle
from pipeline.ase_parameters import PARAMETERS
from pipeline.layout_pieces import candidates
from pipeline.layout_search import find_layout
from schemas.errors import InputError
from schemas.layout import Layout
from tests.pipeline.panels import COLUMNS, RUNNING, grey_of, pieces_of_sample, samples


def found(style: PanelStyle) -> tuple[Layout, list[str]]:
    parts = samples(style)
    layout, reference, notes = find_layout(
        "ase", [part.picture for part in parts], [grey_of(part.picture) for part in parts],
        [pieces_of_sample(part, style) for part in parts],
    )  # fmt: skip
    assert reference.shape == (480, 640)
    return layout, notes


@pytest.mark.parametrize("style", [COLUMNS, RUNNING], ids=["columns", "running"])
def test_every_printed_parameter_is_found_with_unit_and_decimals(style: PanelStyle) -> None:
    layout, _ = found(style)
    assert {(field.name, field.unit, field.decimals) for field in layout.fields} == {
        (each.name, each.unit or "", each.decimals) for each in PARAMETERS
    }
    assert all(field.trusted and not field.dark_ink for field in layout.fields)


@pytest.mark.parametrize("style", [COLUMNS, RUNNING], ids=["columns", "running"])
def test_the_boxes_hold_the_longest_number_and_not_the_name(style: PanelStyle) -> None:
    layout, _ = found(style)
    panel = Panel(style)
    for field in layout.fields:
        spec = next(each for each in PARAMETERS if each.name == field.name)
        left, top, width, height = panel.value_px(field.name, spec.text(spec.mean))
        x, w = field.value_px[0], field.value_px[2]
        assert x <= left + 2 and x + w >= left + width - 2, field.name
        assert top <= field.digits_px[0] < field.digits_px[1] <= top + height
        assert 10 <= field.digits_px[1] - field.digits_px[0] <= 12
        name_x, _, name_w, _ = field.name_px
        assert name_x + name_w <= x + 1


def test_the_part_is_found_where_the_dots_are() -> None:
    layout, _ = found(COLUMNS)
    assert layout.part_px is not None
    (x, y, w, h), (dots_x, dots_y, dots_w, dots_h) = layout.part_px, DOTS_PX
    assert x >= dots_x - 2 and y >= dots_y - 2 and x + w <= dots_x + dots_w + 2 and y + h <= dots_y + dots_h + 2
    assert w * h > 0.75 * dots_w * dots_h


def test_what_physics_ties_is_found_in_the_numbers() -> None:
    layout, notes = found(COLUMNS)
    relations = {(relation.kind, relation.fields) for relation in layout.relations}
    assert ("order", ("Height Min", "Height Avg", "Height Max")) in relations
    assert ("product", ("US Power", "US Current", "US Voltage")) in relations
    assert any("US Power" in note for note in notes)


def test_a_serial_number_is_no_field_and_a_lone_number_has_no_name() -> None:
    pieces = [FoundText("AS003-000042", 0.99, 0, 0, 100, 20), FoundText("17", 0.99, 300, 100, 320, 120)]
    assert candidates(pieces) == []


def test_pictures_of_two_sizes_or_without_numbers_are_refused() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    with pytest.raises(InputError, match="at least 3 of one size"):
        find_layout("p", [picture] * 3, [picture[..., 0], picture[..., 0], picture[:20, :, 0]], [[], [], []])
    with pytest.raises(InputError, match="no printed numbers"):
        find_layout("p", [picture] * 3, [picture[..., 0]] * 3, [[], [], []])


def test_a_field_whose_format_changes_is_left_out_and_told() -> None:
    parts = samples(RUNNING)
    pieces = [pieces_of_sample(part, RUNNING) for part in parts]
    for index in range(0, len(pieces), 2):
        pieces[index] = [
            FoundText(each.text.replace(".", "", 1), each.score, each.left_px, each.top_px, each.right_px,
                      each.bottom_px) if each.text.startswith("Bond Force") else each
            for each in pieces[index]
        ]  # fmt: skip
    layout, _, notes = find_layout(
        "ase", [part.picture for part in parts], [grey_of(part.picture) for part in parts], pieces
    )
    assert "Bond Force" not in {field.name for field in layout.fields}
    assert any("Bond Force" in note and "format changes" in note for note in notes)


def test_decimal_commas_are_found_as_the_machines_own_mark() -> None:
    parts = samples(RUNNING)
    pieces = [
        [FoundText(each.text.replace(".", ","), each.score, each.left_px, each.top_px, each.right_px, each.bottom_px)
         for each in pieces_of_sample(part, RUNNING)]
        for part in parts
    ]  # fmt: skip
    layout, _, _ = find_layout(
        "ase", [part.picture for part in parts], [grey_of(part.picture) for part in parts], pieces
    )
    marks = {field.name: field.decimal_mark for field in layout.fields}
    assert marks["Bond Force"] == "," and marks["US Voltage"] == ","


def test_print_that_hardly_stands_out_is_left_out_and_told() -> None:
    parts = samples(COLUMNS)
    faint = [np.asarray(20 + part.picture // 8, np.uint8) for part in parts]
    with pytest.raises(InputError, match="no printed numbers"):
        find_layout("ase", faint, [grey_of(each) for each in faint], [pieces_of_sample(p, COLUMNS) for p in parts])

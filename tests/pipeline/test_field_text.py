"""From what a line says to a value; whatever is not plainly the field's number is no number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.field_text import fold_signs, parse_field
from schemas.layout import LayoutField
from schemas.verdict import FieldStatus


def field(**more: object) -> LayoutField:
    """A field `Force` in gf with one decimal, -99.9 to 99.9."""
    known = {
        "name": "Force", "unit": "gf", "decimals": 1, "low": -99.9, "high": 99.9, "name_px": (0, 0, 40, 16),
        "value_px": (44, 0, 60, 16), "digits_px": (3.0, 13.0),
    }  # fmt: skip
    return LayoutField.model_validate({**known, **more})


@pytest.mark.parametrize(
    ("text", "value"), [("35.8gf", 35.8), ("-0.5gf", -0.5), ("+7.0gf", 7.0), ("0.0gf", 0.0), ("99.9gf", 99.9)]
)
def test_a_number_of_the_right_format_and_unit_is_read(text: str, value: float) -> None:
    parsed = parse_field(text, field())
    assert parsed.status is FieldStatus.READ and parsed.value == value


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("", FieldStatus.MISSING, "nothing"),
        ("---", FieldStatus.MISSING, "no number"),
        ("N/A", FieldStatus.MISSING, "no number"),
        ("gf", FieldStatus.MISSING, "only a unit"),
        ("OVRgf", FieldStatus.OUT_OF_RANGE, "overflow"),
        ("OVR", FieldStatus.OUT_OF_RANGE, "overflow"),
        ("OL", FieldStatus.OUT_OF_RANGE, "overflow"),
        ("****", FieldStatus.OUT_OF_RANGE, "overflow"),
        (">99.9gf", FieldStatus.OUT_OF_RANGE, "overflow"),
        ("35,8gf", FieldStatus.ABSTAINED, "decimal mark"),
        ("35.80gf", FieldStatus.ABSTAINED, "2 decimals"),
        ("358gf", FieldStatus.ABSTAINED, "0 decimals"),
        ("35.gf", FieldStatus.ABSTAINED, "decimals"),
        ("3.5.8gf", FieldStatus.ABSTAINED, "not a number"),
        ("35.8kgf", FieldStatus.MISMATCH, "kgf"),
        ("35.8N", FieldStatus.MISMATCH, "'N'"),
        ("35.8", FieldStatus.MISMATCH, "none"),
        ("O5.8gf", FieldStatus.MISSING, "no number"),
    ],
)
def test_anything_else_gets_a_status_and_a_reason_and_no_value(text: str, status: FieldStatus, says: str) -> None:
    parsed = parse_field(text, field())
    assert parsed.status is status and parsed.value is None and says in parsed.detail


def test_a_number_out_of_range_keeps_its_value_and_says_so() -> None:
    parsed = parse_field("120.0gf", field())
    assert parsed.status is FieldStatus.OUT_OF_RANGE and parsed.value == 120.0 and "outside" in parsed.detail


def test_a_layout_with_decimal_commas_reads_commas_and_refuses_points() -> None:
    german = field(decimal_mark=",")
    assert parse_field("35,8gf", german).value == 35.8
    assert parse_field("35.8gf", german).status is FieldStatus.ABSTAINED


def test_units_that_print_alike_are_one_and_prefixes_are_not() -> None:
    milli = field(unit="mV")
    assert parse_field("1.0mv", milli).status is FieldStatus.READ
    assert parse_field("1.0MV", milli).status is FieldStatus.MISMATCH
    assert parse_field("1.0uV", milli).status is FieldStatus.MISMATCH


def test_signs_of_another_reader_are_written_as_ours() -> None:
    assert fold_signs(" − 3.5 μm") == "-3.5µm"


@given(st.text(max_size=12))
def test_no_text_whatever_raises_or_gives_a_value_outside_its_status(text: str) -> None:
    parsed = parse_field(text, field())
    assert (parsed.value is not None) <= (parsed.status in (FieldStatus.READ, FieldStatus.OUT_OF_RANGE))

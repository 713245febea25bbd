"""Parameters that contradict one another, and digital ones that win."""

from __future__ import annotations

from pipeline.field_plausibility import hold_relations, with_digital
from pipeline.field_value import FieldValue
from schemas.frame import Parameter
from schemas.layout import Layout, LayoutField, Relation
from schemas.verdict import FieldStatus


def layout(*relations: Relation, names: tuple[str, ...] = ("Power", "Current", "Voltage")) -> Layout:
    """Fields in a row, one decimal each, unit W, 0 to 1000."""
    fields = tuple(
        LayoutField(name=name, unit="W", decimals=1, low=0, high=1000, name_px=(100 * i, 0, 40, 16),
                    value_px=(100 * i + 44, 0, 50, 16), digits_px=(3.0, 13.0))
        for i, name in enumerate(names)
    )  # fmt: skip
    return Layout(product="p", frame_size_px=(640, 32), fields=fields, relations=relations)


def read(names: tuple[str, ...], *values: float) -> list[FieldValue]:
    return [FieldValue(name, value, "W", 0.99, FieldStatus.READ) for name, value in zip(names, values, strict=True)]


NAMES = ("Power", "Current", "Voltage")
PRODUCT = Relation(kind="product", fields=NAMES)


def test_a_product_within_the_rounding_of_what_is_printed_holds() -> None:
    held = hold_relations(read(NAMES, 20.6, 4.1, 5.0), layout(PRODUCT))
    assert [value.status for value in held] == [FieldStatus.READ] * 3


def test_a_broken_product_abstains_all_three_for_one_of_them_is_wrong() -> None:
    held = hold_relations(read(NAMES, 28.5, 4.1, 5.0), layout(PRODUCT))
    assert all(value.status is FieldStatus.ABSTAINED and value.value is None for value in held)
    assert "Power should be 20.5" in held[0].detail


def test_values_out_of_order_are_abstained_and_equal_ones_are_in_order() -> None:
    order = Relation(kind="order", fields=NAMES)
    assert hold_relations(read(NAMES, 1.0, 1.0, 2.0), layout(order))[0].status is FieldStatus.READ
    held = hold_relations(read(NAMES, 3.0, 1.0, 2.0), layout(order))
    assert held[2].status is FieldStatus.ABSTAINED and "out of order" in held[2].detail


def test_a_relation_with_an_unknown_member_says_nothing() -> None:
    values = read(NAMES, 28.5, 4.1, 5.0)
    values[1] = FieldValue("Current", None, "W", 0.0, FieldStatus.ABSTAINED, "unsure")
    assert hold_relations(values, layout(PRODUCT))[0].status is FieldStatus.READ


def test_a_digital_parameter_wins_and_agreement_within_rounding_is_no_mismatch() -> None:
    merged = with_digital(read(NAMES, 20.6, 4.1, 5.0), layout(), {"power": Parameter(20.62, "W")})
    assert merged[0].value == 20.62 and merged[0].status is FieldStatus.READ
    assert merged[0].confidence == 1.0 and merged[1].value == 4.1


def test_a_disagreement_is_reported_with_the_digital_value() -> None:
    merged = with_digital(read(NAMES, 20.6, 4.1, 5.0), layout(), {"Power": Parameter(26.2, "W")})
    assert merged[0].value == 26.2 and merged[0].status is FieldStatus.MISMATCH and "printed 20.6" in merged[0].detail


def test_a_digital_value_stands_in_for_one_that_could_not_be_read() -> None:
    values = [FieldValue(name, None, "W", 0.0, FieldStatus.ABSTAINED, "unsure") for name in NAMES]
    merged = with_digital(values, layout(), {"voltage": Parameter(5.0)})
    assert merged[2].value == 5.0 and merged[2].status is FieldStatus.READ and merged[2].unit == "W"


def test_another_digital_unit_is_a_mismatch_and_a_value_beyond_the_range_says_so() -> None:
    merged = with_digital(
        read(NAMES, 20.6, 4.1, 5.0), layout(), {"Power": Parameter(20.6, "mW"), "Current": Parameter(5000.0, "W")}
    )
    assert merged[0].status is FieldStatus.MISMATCH and "mW" in merged[0].detail
    assert merged[1].value == 5000.0 and merged[1].status is FieldStatus.MISMATCH
    unread = [FieldValue(name, None, "W", 0.0, FieldStatus.ABSTAINED, "unsure") for name in NAMES]
    alone = with_digital(unread, layout(), {"Current": Parameter(5000.0, "W")})
    assert alone[1].status is FieldStatus.OUT_OF_RANGE and "outside" in alone[1].detail


def test_a_digital_number_sent_as_text_is_compared_as_a_number() -> None:
    merged = with_digital(
        read(NAMES, 20.6, 4.1, 5.0), layout(), {"Power": Parameter("20.60"), "Current": Parameter("on")}
    )
    assert merged[0].status is FieldStatus.READ and merged[0].value == "20.60"
    assert merged[1].status is FieldStatus.MISMATCH and "'on'" in merged[1].detail


def test_a_digital_parameter_without_a_printed_field_is_published_too() -> None:
    merged = with_digital(read(NAMES, 20.6, 4.1, 5.0), layout(), {"Humidity": Parameter("dry")})
    assert merged[3].name == "Humidity" and merged[3].value == "dry" and merged[3].status is FieldStatus.READ

"""The layout file: written, read back, and refused with the place of the fault."""

from __future__ import annotations

import pytest

from schemas.errors import SetupError
from schemas.layout import Layout, LayoutField, Relation, decode_layout, encode_layout


def layout() -> Layout:
    fields = tuple(
        LayoutField(name=name, unit="°C", decimals=1, low=-5, high=99.9, name_px=(10, 10 + 30 * i, 80, 20),
                    value_px=(95, 10 + 30 * i, 80, 20), digits_px=(14.0 + 30 * i, 25.5 + 30 * i))
        for i, name in enumerate(('Stage "A"', "Temp µ"))
    )  # fmt: skip
    return Layout(
        product="ase", frame_size_px=(320, 240), part_px=(0, 100, 90, 90), fields=fields,
        relations=(Relation(kind="order", fields=('Stage "A"', "Temp µ")),),
    )  # fmt: skip


def test_a_layout_written_as_toml_is_read_back_the_same() -> None:
    assert decode_layout(encode_layout(layout())) == layout()


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("decimals = 1", "decimals = -1", "field.0.decimals"),
        ("low = -5.0", "low = 100.0", "must be below high"),
        ("value_px = [95, 10, 80, 20]", "value_px = [95, 10, 380, 20]", "reaches over the frame"),
        ("digits_px = [14.0, 25.5]", "digits_px = [14.0, 15.5]", "less than 5 px"),
        ('name = "Temp µ"', 'name = "Stage \\"A\\""', "twice"),
        ('"order"', '"sum"', "relation.0.kind"),
        ("trusted = true", "trusted = true\ncolor = 1", "color"),
        ('fields = ["Stage', 'fields = ["Stages', "are no fields"),
        ("product =", "product", "not TOML"),
        ('format = "sightline.layout.v1"', 'format = "sightline.layout.v9"', "format"),
    ],
)
def test_a_wrong_layout_is_refused_with_the_place_of_the_fault(before: str, after: str, says: str) -> None:
    text = encode_layout(layout()).decode()
    assert before in text
    with pytest.raises(SetupError, match=says):
        decode_layout(text.replace(before, after, 1).encode(), "my.toml")

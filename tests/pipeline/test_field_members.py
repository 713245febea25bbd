"""What a bundle carries to read fields, and layouts that do not belong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.bundle import LAYOUT, LAYOUT_PICTURE, READER
from engines.reader import Reader
from pipeline.field_members import FieldMembers
from schemas.errors import InputError, SetupError
from schemas.layout import Layout, LayoutField, decode_layout, encode_layout


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A layout of one field with its picture, as files."""
    field = LayoutField(name="Force", unit="gf", decimals=1, low=0, high=99, name_px=(4, 4, 50, 20),
                        value_px=(60, 4, 80, 20), digits_px=(8.0, 19.0))  # fmt: skip
    layout = Layout(product="ase", frame_size_px=(160, 120), picture="mine.png", fields=(field,))
    (tmp_path / "mine.toml").write_bytes(encode_layout(layout))
    cv2.imwrite(str(tmp_path / "mine.png"), np.zeros((120, 160), np.uint8))
    return tmp_path / "mine.toml"


def test_a_bundle_gets_layout_picture_and_reader_under_fixed_names(saved: Path) -> None:
    members = FieldMembers.open(saved).members()
    assert set(members) == {LAYOUT, LAYOUT_PICTURE, READER}
    assert decode_layout(members[LAYOUT]).picture == LAYOUT_PICTURE
    assert members[LAYOUT_PICTURE] == saved.with_name("mine.png").read_bytes()
    Reader.load(members[READER])


def test_another_product_or_size_is_refused_by_name(saved: Path) -> None:
    members = FieldMembers.open(saved)
    members.check("ase", (160, 120))
    with pytest.raises(InputError, match="'screw'"):
        members.check("screw", (160, 120))
    with pytest.raises(InputError, match="640"):
        members.check("ase", (640, 480))


def test_a_missing_or_foreign_picture_is_refused(saved: Path) -> None:
    cv2.imwrite(str(saved.with_name("mine.png")), np.zeros((10, 10), np.uint8))
    with pytest.raises(InputError, match="find the layout again"):
        FieldMembers.open(saved)
    saved.with_name("mine.png").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        FieldMembers.open(saved)
    saved.write_text("fields")
    with pytest.raises(SetupError, match="not TOML"):
        FieldMembers.open(saved)

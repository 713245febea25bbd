"""What is usual of machine parameters is learnt from good parts, carried by the bundle, and told apart per frame."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engines.bundle import USUAL, Bundle
from pipeline.fusion_members import Fused
from pipeline.process_signals import (
    LEAST_PARTS,
    PICTURE,
    UsualSignal,
    learn_usual,
    signals_of,
    usual_member,
    usual_of_bundle,
)
from schemas.aligned import decode_aligned, encode_aligned
from schemas.errors import SetupError
from schemas.verdict import FieldReading, FieldStatus, Gate
from tests.bundles import a_bundle_file
from tests.pipeline.aligned import Line


def with_member(more: dict[str, bytes]) -> Bundle:
    return Bundle.from_bytes(a_bundle_file(more=more))


def reading(name: str, value: float | str | None, status: FieldStatus) -> FieldReading:
    return FieldReading(name=name, value=value, unit=None, confidence=1.0, status=status)


def test_only_numbers_that_are_known_are_signals() -> None:
    fields = (
        reading("Bond Force", 35.5, FieldStatus.READ),
        reading("BLT", 21.5, FieldStatus.MISMATCH),
        reading("Tilt X", 99.0, FieldStatus.OUT_OF_RANGE),
        reading("Mode", "AUTO", FieldStatus.READ),
        reading("Power", None, FieldStatus.ABSTAINED),
    )
    assert signals_of(fields, None) == {"Bond Force": 35.5, "BLT": 21.5}
    fused = Fused(0.1, False, Gate(), 1.0, -0.25)
    assert signals_of((), fused) == {PICTURE: -0.25}


def test_usual_is_learnt_of_fields_that_vary_and_that_enough_parts_show() -> None:
    rng = np.random.default_rng(0)
    n = 200
    values = np.column_stack((rng.normal(35, 1.6, n), np.full(n, 7.0), np.full(n, np.nan), rng.normal(0, 1, n)))
    values[LEAST_PARTS - 1 :, 3] = np.nan
    usual = learn_usual(("Bond Force", "Station", "Absent", "Rare"), values, {"Bond Force": "gf"})
    assert set(usual) == {"Bond Force"}
    assert usual["Bond Force"].level == pytest.approx(35, abs=0.4)
    assert 1.6 < usual["Bond Force"].spread < 1.9
    assert usual["Bond Force"].unit == "gf"


def test_the_bundle_carries_what_is_usual_and_a_damaged_member_is_named() -> None:
    usual = {"Bond Force": UsualSignal(level=35.0, spread=1.6, unit="gf")}
    assert usual_of_bundle(with_member(usual_member(usual))) == usual
    assert usual_of_bundle(with_member({})) == {}
    assert usual_member({}) == {}
    with pytest.raises(SetupError, match=r"usual\.json is damaged"):
        usual_of_bundle(with_member({USUAL: b"{}"}))


def test_signals_travel_with_the_aligned_frame() -> None:
    frame = Line().frame(1, signals={"Bond Force": 35.25, PICTURE: math.log(2)})
    assert decode_aligned(encode_aligned(frame)).header.signals == frame.header.signals

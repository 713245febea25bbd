"""The gate: usual parts are trusted alike, what drifts or is missing loses weight, what is gone is switched off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.gate import LEAST_PARTS, GateReference, StationGate, Trust, lost_share


def usual(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (n, 12)), rng.normal(5, 2, (n, 6))


REFERENCE = GateReference.learn(*usual())


def last_of(embeddings: np.ndarray, fields: np.ndarray, image_missing: float = 0.0) -> Trust:
    station = StationGate(REFERENCE)
    for embedding, values in zip(embeddings, fields, strict=True):
        trust = station.update(embedding, values, image_missing)
    return trust


def test_a_station_that_sends_what_training_saw_is_trusted_alike() -> None:
    trust = last_of(*usual(64, 1))
    assert trust.image_divergence < 0.05
    assert trust.field_divergence < 0.1
    assert abs(trust.gate.image - 0.5) < 0.08


def test_divergences_of_usual_windows_are_about_nothing_on_average() -> None:
    pairs = [last_of(*usual(32, seed)) for seed in range(2, 32)]
    assert np.mean([each.image_divergence for each in pairs]) < 0.03
    assert np.mean([each.field_divergence for each in pairs]) < 0.04


def test_a_modality_that_drifts_loses_weight_and_in_the_end_is_switched_off() -> None:
    embeddings, fields = usual(40, 1)
    weights = [last_of(embeddings, fields + shift).gate.fields for shift in (0.0, 1.5, 6.0)]
    assert weights[0] > weights[1] > weights[2] == 0.0
    assert last_of(embeddings + 3, fields).gate == Trust(9, 0, 0, 0).gate
    assert last_of(embeddings + 3, fields).gate.image == 0.0


def test_what_a_part_lacks_itself_counts_at_once() -> None:
    embeddings, fields = usual(3, 1)
    fields[2, :4] = np.nan
    trust = last_of(embeddings, fields)
    assert trust.fields_missing == pytest.approx(4 / 6)
    assert trust.gate.fields < 0.3
    assert last_of(*usual(3, 1), image_missing=0.5).gate.image < 0.4


def test_a_modality_that_is_absent_altogether_has_no_weight() -> None:
    embeddings, fields = usual(3, 1)
    fields[:] = np.nan
    assert last_of(embeddings, fields).gate.image == 1.0
    assert last_of(*usual(3, 1), image_missing=1.0).gate.fields == 1.0


def test_a_short_window_says_nothing() -> None:
    embeddings, fields = usual(LEAST_PARTS - 1, 1)
    trust = last_of(embeddings + 50, fields + 50)
    assert (trust.image_divergence, trust.field_divergence) == (0.0, 0.0)


@settings(max_examples=60, deadline=None)
@given(*(st.floats(0, 50) for _ in range(2)), *(st.floats(0, 1) for _ in range(2)))
def test_weights_always_sum_to_one(image: float, fields: float, lost: float, missing: float) -> None:
    gate = Trust(image, fields, lost, missing).gate
    assert gate.image + gate.fields == pytest.approx(1)
    assert 0 <= gate.image <= 1


def test_black_is_lost_and_dark_is_not() -> None:
    crop = np.full((10, 10, 3), 4, np.uint8)
    assert lost_share(crop) == 0
    crop[:5] = 0
    assert lost_share(crop) == 0.5
    assert lost_share(np.ascontiguousarray(crop.transpose(2, 0, 1))) == 0.5

"""Printed machine parameters on a real line: camera, Kafka, verdict with fields, `sightline.field_reading`, alert."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.ase_line import AseSample
from schemas.alert import Cause
from schemas.verdict import FieldStatus, Outcome, Reason, Verdict
from tests.line.ase import Shot, activate_ase, good_parts, send, train_ase
from tests.line.bad_frames import encode
from tests.line.line_process import LineProcess

STATION = "fields/line1/cam0"
DRIFTING = "fields/line1/cam1"
DRIFT_FROM = 20


def without_right_half(part: AseSample) -> bytes:
    """The part's picture as if the machine showed another page: nothing is printed right of the dots."""
    picture = part.picture.copy()
    picture[:, 320:] = picture[-1, -1]
    return encode(picture[:, :, ::-1], ".jpg")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_ase(tmp_path_factory.mktemp("ase"))


@pytest.fixture(scope="module")
def verdicts(line: LineProcess, bundle: Path) -> dict[str, Verdict]:
    """Three frames: a plain one, one with digital parameters of which one contradicts, one without half its panel."""
    activate_ase(line, bundle, STATION)
    part = good_parts(30)[-1]
    digital = {
        "bond_force": {"value": part.fields["Bond Force"].value, "unit": "gf"},
        "BLT": {"value": 21.5, "unit": "um"},
        "Humidity": {"value": 41.0, "unit": "%"},
    }
    sent = (
        Shot("plain", part.jpeg),
        Shot("digital", part.jpeg, json.dumps(digital)),
        Shot("other panel", without_right_half(part)),
    )
    return send(line, STATION, sent)


def test_the_verdict_carries_the_printed_fields_as_they_are(verdicts: dict[str, Verdict]) -> None:
    verdict, truth = verdicts["plain"], good_parts(30)[-1].fields
    assert verdict.outcome is Outcome.PASS
    assert [field.name for field in verdict.fields] == list(truth)
    assert sum(field.status is FieldStatus.READ for field in verdict.fields) >= 15
    for field in verdict.fields:
        if field.status is FieldStatus.READ:
            assert (field.value, field.unit) == (truth[field.name].value, truth[field.name].unit)
            assert field.confidence >= 0.9
    assert verdict.timing_ms.read is not None and verdict.timing_ms.read > 0


def test_digital_parameters_win_and_a_contradiction_is_published(verdicts: dict[str, Verdict]) -> None:
    fields = {field.name: field for field in verdicts["digital"].fields}
    assert fields["Bond Force"].status is FieldStatus.READ and fields["Bond Force"].confidence == 1.0
    assert fields["BLT"].status is FieldStatus.MISMATCH and fields["BLT"].value == 21.5
    assert fields["Humidity"].value == 41.0


def test_a_frame_the_layout_does_not_fit_has_no_numbers_and_is_reviewed(verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts["other panel"]
    assert (verdict.outcome, verdict.reason) == (Outcome.REVIEW, Reason.FIELDS_UNREADABLE)
    assert all(field.value is None and field.status is FieldStatus.ABSTAINED for field in verdict.fields)


def test_every_reading_is_a_row_of_field_reading(line: LineProcess, verdicts: dict[str, Verdict]) -> None:
    asked = (
        "SELECT verdict.frame_id, reading.name, reading.value_number, reading.unit, reading.status"
        " FROM sightline.field_reading AS reading JOIN sightline.verdict AS verdict USING (verdict_id)"
        " WHERE verdict.station = %s"
    )
    rows = {(frame_id, name): rest for frame_id, name, *rest in line.query(asked, STATION)}
    published = {
        (verdict.frame_id, field.name): [field.value, field.unit, field.status.value]
        for verdict in verdicts.values()
        for field in verdict.fields
    }
    assert rows == published


def test_a_parameter_that_goes_off_raises_one_alert_of_cause_process(line: LineProcess, bundle: Path) -> None:
    activate_ase(line, bundle, DRIFTING)
    sent = drifting_parts(48)
    send(line, DRIFTING, sent)
    asked = f"FROM sightline.alert WHERE station = '{DRIFTING}' AND cause = '{Cause.PROCESS.value}'"
    line.wait_for_count(f"SELECT count(*) {asked}", 1)
    rows = line.query(f"SELECT alert_id, first_sequence, text {asked}")
    assert len(rows) == 1
    _, first_sequence, text = rows[0]
    assert DRIFT_FROM - 3 <= first_sequence <= DRIFT_FROM + 5
    assert f"Bond Force of ase at {DRIFTING} drifts down" in text and "gf" in text


def drifting_parts(n: int) -> Sequence[Shot]:
    """Good parts whose bond force, known digitally, is 3.5 spreads low from part DRIFT_FROM on."""
    rng = np.random.default_rng(3)
    forces = [35 + 1.6 * (0.5 * rng.normal() - (3.5 if number >= DRIFT_FROM else 0)) for number in range(n)]
    return [
        Shot(f"part-{number}", part.jpeg, json.dumps({"bond_force": {"value": round(force, 1), "unit": "gf"}}), number)
        for number, (part, force) in enumerate(zip(good_parts(n), forces, strict=True))
    ]

"""Printed machine parameters on a real line: camera, Kafka, verdict with fields, `sightline.field_reading`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import KafkaProducer

from agents.activation import Wishes, activate
from agents.database import connect
from pipeline.ase_line import AseLine, AseSample
from pipeline.bundling import train_bundle
from pipeline.field_members import FieldMembers
from pipeline.good_parts import picture_paths
from pipeline.layout_search import encode_reference, find_layout
from pipeline.training import TrainSettings
from schemas.store import ContentStore
from schemas.verdict import FieldStatus, Outcome, Reason, Verdict
from tests.line.bad_frames import encode, headers
from tests.line.conftest import PREFIX
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess
from tests.pipeline.panels import COLUMNS, grey_of, pieces_of_sample, samples

STATION = "fields/line1/cam0"
PRODUCT = "ase"
LINE = AseLine(3)


def good_parts(n: int) -> list[AseSample]:
    """The first `n` good parts of the line that look good, too."""
    parts = (LINE.sample(index) for index in range(400))
    found = (part for part in parts if not part.defective and part.shown)
    return [next(found) for _ in range(n)]


def without_right_half(part: AseSample) -> bytes:
    """The part's picture as if the machine showed another page: nothing is printed right of the dots."""
    picture = part.picture.copy()
    picture[:, 320:] = picture[-1, -1]
    return encode(picture[:, :, ::-1], ".jpg")


def layout_members() -> FieldMembers:
    """The layout of the line's machine, as `sightline layout` would save it."""
    parts = samples(COLUMNS)
    layout, reference, _ = find_layout(
        PRODUCT, [part.picture for part in parts], [grey_of(part.picture) for part in parts],
        [pieces_of_sample(part, COLUMNS) for part in parts],
    )  # fmt: skip
    return FieldMembers(layout, encode_reference(reference), "layout.toml")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ase")
    for part in good_parts(24):
        (folder / f"{part.unit_id}.jpg").write_bytes(part.jpeg)
    train_bundle(
        PRODUCT, picture_paths(folder), (), backbone="student", weights=None, colour="grey",
        settings=TrainSettings(motion="none", input_px=160), created_at=datetime(2030, 1, 1, tzinfo=UTC),
        out=folder / "ase.bundle", progress=lambda what, done, total: None, fields=layout_members(),
    )  # fmt: skip
    return folder / "ase.bundle"


@pytest.fixture(scope="module")
def verdicts(line: LineProcess, bundle: Path) -> dict[str, Verdict]:
    """Three frames: a plain one, one with digital parameters of which one contradicts, one without half its panel."""
    with connect(line.postgres) as connection, connection.transaction():
        store = ContentStore(f"file://{line.state_dir / 'bundles'}")
        wishes = Wishes(review=1e3, fail=1e4)  # whatever the dots look like: this is about the fields
        activate(connection, store, bundle.read_bytes(), station=STATION, product=PRODUCT, wishes=wishes)
    in_force = line.query("SELECT count(*) FROM (SELECT DISTINCT station, product FROM sightline.recipe) AS recipe")
    line.wait_for_recipes(in_force[0][0])
    part = good_parts(30)[-1]
    digital = {
        "bond_force": {"value": part.fields["Bond Force"].value, "unit": "gf"},
        "BLT": {"value": 21.5, "unit": "um"},
        "Humidity": {"value": 41.0, "unit": "%"},
    }
    sent = (
        ("plain", part.jpeg, None),
        ("digital", part.jpeg, json.dumps(digital)),
        ("other panel", without_right_half(part), None),
    )
    producer = KafkaProducer(bootstrap_servers=line.kafka, acks="all")
    for frame_id, picture, parameters in sent:
        pairs = headers(frame_id, STATION, "image/jpeg", ce_product=PRODUCT, ce_parameters=parameters)
        producer.send(f"{PREFIX}frames", key=STATION.encode(), value=picture, headers=list(pairs)).get(timeout=60)
    producer.close()
    ledger = Ledger(line, PREFIX, line.state_dir / "bundles", [STATION])
    ledger.wait_for(len(sent))
    return {verdict.frame_id: verdict for verdict in ledger.verdicts()}


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

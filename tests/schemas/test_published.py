from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from schemas.alert import encode_alert
from schemas.errors import DeadLetterReason
from schemas.frame import Frame, Parameter, encode_headers
from schemas.published import FOLDER, SCHEMAS, schema_text
from schemas.verdict import encode_verdict
from tests.verdicts import (
    NOON,
    STATION,
    a_dead_letter,
    a_failed_verdict,
    a_reading,
    a_verdict,
    an_alert,
    an_uninspected_verdict,
)


def validator(name: str) -> Draft202012Validator:
    schema = SCHEMAS[name]()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_file_in_the_repository_is_what_the_code_says(name: str) -> None:
    written = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert written == schema_text(name), "run `sightline schema --write schemas/json`"


@pytest.mark.parametrize(
    "verdict", [a_verdict(), a_failed_verdict(fields=(a_reading(), a_reading(value="x"))), an_uninspected_verdict()]
)
def test_every_kind_of_verdict_is_valid(verdict: object) -> None:
    validator("verdict").validate(json.loads(encode_verdict(verdict)))  # type: ignore[arg-type]


def test_an_alert_is_valid() -> None:
    validator("alert").validate(json.loads(encode_alert(an_alert())))


@pytest.mark.parametrize(("name", "field"), [("verdict", "outcome"), ("verdict", "verdict_id"), ("alert", "state")])
def test_a_record_without_a_required_field_is_not_valid(name: str, field: str) -> None:
    encoded = encode_verdict(a_verdict()) if name == "verdict" else encode_alert(an_alert())
    record = json.loads(encoded)
    del record[field]
    assert not validator(name).is_valid(record)


def headers_of(frame: Frame) -> dict[str, str]:
    return {name: raw.decode() for name, raw in encode_headers(frame)}


def test_the_headers_we_write_are_valid() -> None:
    frame = Frame(
        frame_id="f",
        station=STATION,
        content_type="image/png",
        captured_at=NOON,
        picture=b"",
        unit_id="SN1",
        lot="L",
        product="plate",
        epoch="boot-1",
        sequence=0,
        parameters={"force": Parameter(1.5, "N")},
    )
    validator("frame").validate(headers_of(frame))


@pytest.mark.parametrize(
    "change", [{"ce_source": "cam0"}, {"content-type": "text/plain"}, {"ce_sequence": "-1"}, {"ce_dataref": "s3://a/b"}]
)
def test_headers_the_line_would_refuse_are_not_valid(change: dict[str, str]) -> None:
    frame = Frame(frame_id="f", station=STATION, content_type="image/png", captured_at=NOON, picture=b"")
    assert not validator("frame").is_valid(headers_of(frame) | change)


@pytest.mark.parametrize("reason", DeadLetterReason)
def test_the_headers_of_every_dead_letter_are_valid(reason: DeadLetterReason) -> None:
    letter = a_dead_letter(reason=reason.value)
    headers = {name: (raw or b"").decode("utf-8", "replace") for name, raw in letter.kafka_headers()}
    validator("dead-letter").validate(headers)

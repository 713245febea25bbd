"""The published JSON Schemas: of the records on the topics, and of the headers a frame carries."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from schemas.alert import ALERT_SCHEMA, Alert
from schemas.errors import DeadLetterReason
from schemas.frame import FRAME_TYPE, MAGIC, MAX_HEADER_BYTES, SPEC_VERSION
from schemas.verdict import VERDICT_SCHEMA, Verdict

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path(__file__).parent / "json"

Schema = dict[str, Any]


def verdict_schema() -> Schema:
    """Of a value on the verdicts and reinspections topics."""
    return _of_model(Verdict, VERDICT_SCHEMA)


def alert_schema() -> Schema:
    """Of a value on the alerts topic."""
    return _of_model(Alert, ALERT_SCHEMA)


def frame_schema() -> Schema:
    """Of a frame record's headers, each decoded as UTF-8: CloudEvents 1.0, Kafka binding, binary mode."""
    return {
        "$schema": _DRAFT,
        "$id": FRAME_TYPE,
        "title": "Headers of a frame",
        "description": "Header name to UTF-8 text. The key is site/line/station; the value is the encoded picture.",
        "type": "object",
        "required": ["ce_specversion", "ce_type", "ce_id", "ce_source", "content-type"],
        "properties": _FRAME_HEADERS | {"ce_specversion": {"const": SPEC_VERSION}, "ce_type": {"const": FRAME_TYPE}},
        "dependentRequired": {"ce_dataref": ["ce_datasha256"]},
        "additionalProperties": {"type": "string"},
    }


def dead_letter_schema() -> Schema:
    """Of the headers added to a dead letter, beside the original ones."""
    return {
        "$schema": _DRAFT,
        "$id": "sightline.dead-letter.v1",
        "title": "Headers of a dead letter",
        "description": "Added to the original headers; key and value are the original ones.",
        "type": "object",
        "required": ["dl_reason", "dl_detail", "dl_topic", "dl_partition", "dl_offset", "dl_at"],
        "properties": {
            "dl_reason": {"enum": [reason.value for reason in DeadLetterReason]},
            "dl_detail": {"type": "string", "description": "one sentence with the offending value"},
            "dl_topic": {"type": "string", "description": "where the original record lies"},
            "dl_partition": {"type": "string", "pattern": "^[0-9]+$"},
            "dl_offset": {"type": "string", "pattern": "^[0-9]+$"},
            "dl_at": {"type": "string", "format": "date-time"},
        },
        "additionalProperties": {"type": "string"},
    }


SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    "verdict": verdict_schema,
    "alert": alert_schema,
    "frame": frame_schema,
    "dead-letter": dead_letter_schema,
}


def schema_text(name: str) -> str:
    """The schema `name` as published: indented JSON, one newline at the end."""
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


def _text(description: str, **more: object) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": MAX_HEADER_BYTES, "description": description, **more}


_FRAME_HEADERS: Schema = {
    "ce_id": _text("the frame's identity, unique per source; sending the same one again changes nothing"),
    "ce_source": _text("/site/line/station; the key, when absent, is taken from it", pattern="^/?[^/]+/[^/]+/[^/]+$"),
    "content-type": {"enum": list(MAGIC)},
    "ce_time": _text("capture time, RFC 3339; else the record's timestamp", format="date-time"),
    "ce_subject": _text("unit id (serial number)"),
    "ce_lot": _text("lot, batch or carrier"),
    "ce_product": _text("product; else the one the station is set to"),
    "ce_sequence": _text("counter within one boot of the camera", pattern="^[0-9]+$"),
    "ce_epoch": _text("id of that boot"),
    "ce_parameters": {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["value"],
                "properties": {"value": {"type": ["number", "string"]}, "unit": {"type": ["string", "null"]}},
            },
        },
        "description": 'machine parameters known digitally: {"name": {"value": 1.2, "unit": "N"}}',
    },
    "ce_dataref": _text("claim check: where the picture is; the value is then empty"),
    "ce_datasha256": _text("sha256 of that picture, hexadecimal", pattern="^[0-9a-fA-F]{64}$"),
    "ce_traceparent": _text("W3C trace context, carried through to the verdict"),
}


def _of_model(model: type[Verdict] | type[Alert], identity: str) -> Schema:
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    schema["properties"]["schema"] = {"const": identity}
    return {"$schema": _DRAFT, "$id": identity, **schema}

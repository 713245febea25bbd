from __future__ import annotations

import json
import logging

from deploy.logs import JsonFormatter, RepeatFilter


def record(name: str, message: str, at_s: float, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, __file__, 1, message, None, None)
    made.created = at_s
    made.__dict__.update(extra)
    return made


def test_every_line_is_json_and_names_station_and_frame() -> None:
    line = json.loads(
        JsonFormatter("inspect-7").format(record("agents.inspect", "pass", 0.0, station="a/b/c", frame_id="9"))
    )
    assert (line["station"], line["frame_id"], line["message"], line["role"]) == ("a/b/c", "9", "pass", "inspect-7")
    assert line["at"] == "1970-01-01T00:00:00.000000Z"


def test_a_line_without_a_frame_says_so() -> None:
    line = json.loads(JsonFormatter("archive").format(record("agents.relay", "published", 0.0)))
    assert (line["station"], line["frame_id"]) == (None, None)


def test_a_library_that_repeats_itself_is_heard_once_and_the_rest_is_counted() -> None:
    repeats = RepeatFilter(every_s=10.0)
    passed = [repeats.filter(record("aiokafka", "unable to connect", at_s)) for at_s in (0.0, 0.1, 0.2, 9.9)]
    assert passed == [True, False, False, False]
    later = record("aiokafka", "unable to connect", 10.5)
    assert repeats.filter(later)
    assert later.getMessage() == "unable to connect (and 3 times before)"


def test_our_own_lines_are_never_held_back() -> None:
    repeats = RepeatFilter()
    assert all(repeats.filter(record("agents.inspect", "pass", 0.0)) for _ in range(5))

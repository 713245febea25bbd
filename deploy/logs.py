"""One JSON object a line, with station and frame id wherever they are known."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from schemas.times import format_rfc3339

_ROOMS = ("agents", "pipeline", "engines", "schemas", "deploy")
_CARRIED = ("station", "frame_id", "score", "alert_id")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """`record` as a JSON line."""
        line: dict[str, object] = {
            "at": format_rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "role": self._role,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("station", "frame_id"):
            line[name] = getattr(record, name, None)
        for name in _CARRIED:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class RepeatFilter(logging.Filter):
    """Lets a library say the same thing once in `every_s` seconds; the next time tells how often it was held back.

    A broker that is away makes its clients repeat a dozen errors a second, for as long as it is away.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` is passed on."""
        if record.name.split(".")[0] in _ROOMS:
            return True
        key = (record.name, str(record.msg))
        said_at, n_held = self._said.get(key, (-self._every_s, 0))
        if record.created - said_at < self._every_s:
            self._said[key] = (said_at, n_held + 1)
            return False
        self._said[key] = (record.created, 0)
        if n_held:
            record.msg, record.args = f"{record.getMessage()} (and {n_held} times before)", None
        return True


def log_as_json(role: str, level: str) -> None:
    """Send the root logger to stderr as JSON lines; libraries speak from WARNING up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(role))
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for room in _ROOMS:
        logging.getLogger(room).setLevel(level.upper())

"""One JSON object a line, with station and frame id wherever they are known."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from schemas.times import format_rfc3339

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


def log_as_json(role: str, level: str) -> None:
    """Send the root logger to stderr as JSON lines; libraries speak from WARNING up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for room in ("agents", "pipeline", "engines", "schemas", "deploy"):
        logging.getLogger(room).setLevel(level.upper())

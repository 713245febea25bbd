"""Moments as people type them: so long ago, or an RFC 3339 time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from schemas.errors import InputError
from schemas.times import parse_rfc3339

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_moment(text: str, now: datetime) -> datetime:
    """The moment `text` means: ``90m``, ``12h``, ``7d`` before `now`, or an RFC 3339 time, or a day.

    Raises: InputError.
    """
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return now - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
        return parse_rfc3339(f"{text}T00:00:00Z" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text)
    except (ValueError, OverflowError) as exc:
        raise InputError(
            f"{text!r} is not a moment: write 90m, 12h or 7d for so long ago, 2026-01-31, or 2026-01-31T12:00:00Z"
        ) from exc

"""What a benchmark says while it runs: on stderr, for stdout is its result's."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)

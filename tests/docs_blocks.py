"""The code blocks of the documentation that tests run, found by the comment before them."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def block(document: str, name: str) -> str:
    """The fenced block that follows ``<!-- run: name -->`` in `document` (a path in the repository)."""
    text = (_ROOT / document).read_text()
    found = re.search(rf"<!-- run: {re.escape(name)} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found is not None, f"{document} has no block <!-- run: {name} -->"
    return found.group(1)

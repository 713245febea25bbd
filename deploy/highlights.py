"""A picture of a terminal run that a page can show: the first lines, those around each event, and the end."""

from __future__ import annotations

import io
import re
from collections import deque
from pathlib import Path

from rich.console import Console, RenderableType

_FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}\s*")
"""Rich names fonts on somebody's server; a picture must not call home."""
_FIRST = 4
_AROUND = 3


class Highlights:
    """Prints to `console`, and keeps the part of it that `save_svg` draws.

    Lines come by the hundred and only the first few and those around an event are kept; events are kept whole.
    """

    def __init__(self, console: Console, width: int = 112) -> None:
        self.console = console
        self._kept = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
        self._before: deque[str] = deque(maxlen=_AROUND)
        self._n_skipped = 0
        self._room = _FIRST

    def line(self, markup: str) -> None:
        """One of many lines."""
        self.console.print(markup, highlight=False)
        if self._room > 0:
            self._room -= 1
            self._kept.print(markup, highlight=False, no_wrap=True)
            return
        self._n_skipped += len(self._before) == self._before.maxlen
        self._before.append(markup)

    def event(self, renderable: RenderableType) -> None:
        """Something that must be seen."""
        self.console.print(renderable, highlight=False, soft_wrap=isinstance(renderable, str))
        if self._n_skipped:
            self._kept.print(f"[dim]... {self._n_skipped} more ...")
        for markup in self._before:
            self._kept.print(markup, highlight=False, no_wrap=True)
        self._before.clear()
        self._n_skipped = 0
        self._kept.print(renderable, highlight=False)
        self._room = _AROUND

    def save_svg(self, path: Path, title: str) -> None:
        """Write what was kept as an SVG picture of a terminal, in the reader's own monospaced font."""
        svg = self._kept.export_svg(title=title)
        path.write_text(_FONT_FACE.sub("", svg))

"""An alarm before and while the disk of a line is full."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

LOW_BYTES = 512 * 2**20
"""Below so much free space a busy line has minutes left: a frame of 40 kB costs about 250 kB on its way."""
_LOOK_EVERY_S = 5.0
_SAY_EVERY_S = 30.0


class DiskWatch:
    """Says when the file system of `folder` runs low, again every half minute while it is, and once when it is not."""

    def __init__(self, folder: Path, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._say = say
        self._clock = clock
        self._looked_at_s = float("-inf")
        self._said_at_s = float("-inf")
        self._is_low = False

    def look(self) -> None:
        """Look again, unless that was done a moment ago."""
        now_s = self._clock()
        if now_s - self._looked_at_s < _LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes >= LOW_BYTES:
            if self._is_low:
                self._say(f"disk: {free_bytes / 2**20:,.0f} MB are free again under {self._folder}")
            self._is_low = False
            self._said_at_s = float("-inf")
            return
        self._is_low = True
        if now_s - self._said_at_s >= _SAY_EVERY_S:
            self._said_at_s = now_s
            self._say(
                f"disk: only {free_bytes / 2**20:,.0f} MB are free under {self._folder}; when it is full nothing is"
                " acknowledged and cameras spool: free space, or lower topic and evidence retention"
            )

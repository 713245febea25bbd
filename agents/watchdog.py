"""A worker that stops moving while it holds frames must die, so that its supervisor starts another."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time

from agents.ack import Progress

_log = logging.getLogger(__name__)
STALLED_EXIT_CODE = 3


class Watchdog(threading.Thread):
    """Looks every second at `progress`; beyond `limit_s` without a settled batch it dumps all stacks and exits.

    A worker that waits for a service it named (`Progress.waiting_for`) is patient, not stalled.
    """

    def __init__(self, progress: Progress, limit_s: float) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._progress = progress
        self._limit_s = limit_s

    def run(self) -> None:
        quiet_since_s = time.monotonic()
        while True:
            time.sleep(1.0)
            now_s = time.monotonic()
            if self._progress.n_in_flight <= 0 or self._progress.waiting_for is not None:
                quiet_since_s = now_s
                continue
            age_s = now_s - max(self._progress.moved_at_s, quiet_since_s)
            if age_s > self._limit_s:
                _log.critical(
                    "%d frames in flight and none settled for %.0f s: exiting", self._progress.n_in_flight, age_s
                )
                faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
                os._exit(STALLED_EXIT_CODE)

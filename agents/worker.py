"""Running one Faust app as a process: signals, readiness, and an exit code a supervisor can read."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import faust

from schemas.errors import SetupError

_log = logging.getLogger(__name__)
EX_FINE = 0
EX_CRASHED = 1
EX_SETUP = 2


class _QuietWorker(faust.Worker):
    """Faust's worker without its own logging set-up, spinner and banners."""

    def __init__(self, app: faust.App, on_ready: Callable[[], None], **options: Any) -> None:
        super().__init__(app, redirect_stdouts=False, **options)
        self.spinner = None
        self._on_ready = on_ready

    def _setup_logging(self) -> None:
        return None

    def say(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Nothing: stdout belongs to the supervisor."""

    def carp(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Nothing: signals are logged."""

    async def on_startup_finished(self) -> None:
        """Called by Faust once partitions are assigned and agents run."""
        await super().on_startup_finished()
        self._on_ready()


def run_app(app: faust.App, on_ready: Callable[[], None]) -> int:
    """Run `app` until a signal or an error; the exit code: 0 stopped, 1 crashed un-acked, 2 set-up is wrong."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = _QuietWorker(app, on_ready, loop=loop)
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else EX_FINE if stop.code is None else EX_CRASHED
    except Exception as error:
        _log.critical("worker crashed: %s", error, exc_info=error)
        code = EX_CRASHED
    crash = app.crash_reason or worker.crash_reason
    if crash is not None:
        _log.critical("worker stopped, nothing acknowledged beyond what is durable: %s", crash, exc_info=crash)
        return EX_SETUP if isinstance(crash, SetupError) else EX_CRASHED
    return code


def die_with_parent(parent_pid: int) -> None:
    """Exit when the supervisor is gone, so that a killed `up` leaves no worker behind."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(1.0)
        _log.critical("supervisor %d is gone: exiting", parent_pid)
        os._exit(EX_CRASHED)

    threading.Thread(target=watch, name="die-with-parent", daemon=True).start()

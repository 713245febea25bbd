"""The processes of a line, as the operating system knows them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil


def family(pid: int) -> list[psutil.Process]:
    """The process and everything it started, engine processes and servers included."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def survivors(processes: Sequence[psutil.Process], timeout_s: float) -> list[str]:
    """Command lines of those still alive after at most `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        alive = [process for process in processes if _is_alive(process)]
        if not alive or time.monotonic() > deadline_s:
            return [_command(process) for process in alive]
        time.sleep(0.1)


def started_for(state_dir: object) -> list[psutil.Process]:
    """Every process whose environment names `state_dir` as its line's."""
    mine = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SIGHTLINE_STATE_DIR") == str(state_dir):
                mine.append(process)
        except psutil.Error:
            continue
    return mine


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and everything it started; 0 when it is gone."""
    try:
        return sum(process.memory_info().rss for process in family(pid))
    except psutil.NoSuchProcess:
        return 0


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())}"
    except psutil.Error:
        return str(process.pid)

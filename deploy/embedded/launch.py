"""Become a server: ``launch.py PARENT SIGNAL [as UID GID plain|search] COMMAND...``.

On Linux the server is sent SIGNAL when the process PARENT that started it dies, however it dies. As root it can
run as an unprivileged account; ``search`` then keeps the capability to pass through folders closed to others
(CAP_DAC_READ_SEARCH, or where the container withholds it CAP_DAC_OVERRIDE), for a state folder or an installation
under root's home. Stands alone: it is executed by path, with nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def die_with(parent: int, number: int) -> None:
    """Have the kernel send this process signal `number` when `parent` dies; 0: never. Raises: OSError."""
    if number == 0 or not sys.platform.startswith("linux"):
        return
    _check(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0))
    if os.getppid() != parent:  # it died before the kernel was told
        os.kill(os.getpid(), signal.SIGKILL)


def become(uid: int, gid: int, keep_search: bool) -> None:
    """Become `uid`/`gid`, for good. Raises: OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if keep_search:
        _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if keep_search:
        _keep_search(libc)


def _keep_search(libc: ctypes.CDLL) -> None:
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)()
    _check(libc.capget(ctypes.byref(header), sets))
    held = sets[0].permitted
    capability = _CAP_DAC_READ_SEARCH if held & 1 << _CAP_DAC_READ_SEARCH else _CAP_DAC_OVERRIDE
    only = held & 1 << capability
    sets[0] = _Sets(only, only, only)
    sets[1] = _Sets(0, 0, 0)
    _check(libc.capset(ctypes.byref(header), sets))
    _check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> None:
    """Change the account when told to, tie the life of the server to its parent, then become the server."""
    parent, number, *command = sys.argv[1:]
    try:
        if command[0] == "as":
            _, uid, gid, mode, *command = command
            become(int(uid), int(gid), mode == "search")
        die_with(int(parent), int(number))  # last: a change of account forgets it
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(
            f"{command[0]} cannot be run: {error}; use a state folder and an installation outside root's home, "
            "or run as an ordinary user"
        )


if __name__ == "__main__":
    main()

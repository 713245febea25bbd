"""Which account serves Postgres: it refuses to run as root, so a root launcher hands it to another one."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import SetupError

_CANDIDATES = ("nobody", "daemon", "bin")


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int

    def can_enter(self, folder: Path) -> bool:
        """Whether the account may pass through every folder from the root down to `folder`."""
        return all(self._may_search(step.stat()) for step in (folder.resolve(), *folder.resolve().parents))

    def prefix(self, folders: Sequence[Path]) -> list[str]:
        """What tells the launcher to run a command as this account.

        When one of `folders` lies under a folder closed to others (``/root`` often is), the process keeps the
        one capability that lets it pass; no permission on disk is changed.
        """
        keep_search = not all(self.can_enter(folder) for folder in folders)
        return ["as", str(self.uid), str(self.gid), "search" if keep_search else "plain"]

    def give(self, path: Path) -> None:
        """Make the account the owner of `path`."""
        os.chown(path, self.uid, self.gid)

    def _may_search(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def serving_account(data: Path) -> Account | None:
    """The account that must serve from the data folder `data`; None: the current one.

    An existing folder is served by its owner, a new one by the first unprivileged account of the machine.

    Raises: SetupError when the folder belongs to somebody else, or the machine has no such account.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner != os.geteuid():
            raise SetupError(
                f"database folder {data} belongs to user id {owner}: run as that user (or as root), or choose "
                "another folder with --state"
            )
        return None
    if owner:
        return _account_of_uid(owner, data)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise SetupError(
        f"Postgres does not run as root and this machine has none of the accounts {', '.join(_CANDIDATES)}: "
        "run as an ordinary user"
    )


def _account_of_uid(uid: int, data: Path) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as exc:
        raise SetupError(
            f"database folder {data} belongs to user id {uid}, which has no account on this machine: add it, or "
            "choose another folder with --state"
        ) from exc
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)

"""The camera's spool: frames on disk, in order, while the broker is away. Survives a crash and a power cut."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import SetupError, SightlineError

_MAGIC = b"SLSPOOL1"
_LENGTH = struct.Struct("<I")
_BODY_AT = len(_MAGIC) + 32
_SUFFIX = ".frame"
_PART = ".part"
_QUARANTINE = "quarantine"
_HEADERS_BYTES = 512
DEFAULT_LIMIT_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class SpoolRecord:
    """A Kafka record to be: what `KafkaProducer.send` wants."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def n_bytes(self) -> int:
        """What it takes in memory, the headers counted as half a KiB."""
        return len(self.value) + _HEADERS_BYTES


class SpoolFullError(SightlineError):
    """The spool cannot take another frame: its limit is reached, or the disk refuses."""


class SpoolEntryCorruptError(SightlineError):
    """A spooled frame is not what was written; it was moved to the quarantine folder."""


class Spool:
    """A bounded first-in-first-out queue of records, one file each, owned by one process at a time.

    A file is written aside, flushed to the disk and renamed, so that an entry is whole or absent. Entries are
    numbered upwards; the numbers go on where the last run stopped. Not thread-safe: the owner locks.

    Args:
        folder: made when absent; one folder a station.
        limit_bytes: largest sum of file sizes.
    Raises: SetupError when the folder cannot be written or another process owns it.
    """

    def __init__(self, folder: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.n_quarantined = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _own(folder)
            for leftover in folder.glob(f"*{_PART}"):
                leftover.unlink()
            self._entries = _scan(folder)
        except OSError as exc:
            raise SetupError(f"spool folder {folder} cannot be used: {exc}; choose another with --state") from exc
        self._n_bytes = sum(self._entries.values())
        self._next = 1 + max(_numbers_in(folder), default=0)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[int]:
        """Numbers of the entries, oldest first."""
        return iter(tuple(self._entries))

    @property
    def n_bytes(self) -> int:
        """Bytes the entries take on disk."""
        return self._n_bytes

    def append(self, record: SpoolRecord) -> int:
        """Keep `record` as the newest entry, durable on return; its number.

        Raises: SpoolFullError naming the limit or the disk's own words.
        """
        content = _encode(record)
        if self._n_bytes + len(content) > self.limit_bytes:
            raise SpoolFullError(
                f"the spool {self.folder} holds {self._n_bytes} of {self.limit_bytes} bytes and has no room for "
                f"{len(content)} more: bring the broker back, or raise --spool-mb"
            )
        number = self._next
        try:
            _write_durably(self._path(number), content)
        except OSError as exc:
            why = "the disk is full" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else str(exc)
            raise SpoolFullError(f"the spool {self.folder} cannot be written: {why}; make room there") from exc
        self._next += 1
        self._entries[number] = len(content)
        self._n_bytes += len(content)
        return number

    def read(self, number: int) -> SpoolRecord:
        """Entry `number`, verified.

        Raises: SpoolEntryCorruptError after moving a damaged entry into the quarantine folder.
        """
        try:
            return _decode(self._path(number).read_bytes())
        except (OSError, ValueError) as exc:
            kept = self.quarantine(number)
            raise SpoolEntryCorruptError(f"spooled frame {number} is damaged ({exc}); kept as {kept}") from exc

    def remove(self, number: int) -> None:
        """Forget entry `number`, which was delivered. Removing it twice does nothing."""
        size = self._entries.pop(number, None)
        if size is not None:
            self._n_bytes -= size
            self._path(number).unlink(missing_ok=True)

    def close(self) -> None:
        """Give the folder back; the entries stay for the next run."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:015d}{_SUFFIX}"

    def quarantine(self, number: int) -> Path:
        """Move entry `number` out of the queue into the quarantine folder, where it stays; its new path."""
        self._n_bytes -= self._entries.pop(number, 0)
        self.n_quarantined += 1
        path = self._path(number)
        target = self.folder / _QUARANTINE / path.name
        if path.exists():
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
        return target


def _encode(record: SpoolRecord) -> bytes:
    """Magic, sha256 of all that follows, length of the JSON head, head, value."""
    head = json.dumps(
        {"key": record.key.decode(), "headers": [[name, raw.decode()] for name, raw in record.headers]}
    ).encode()
    body = b"".join((_LENGTH.pack(len(head)), head, record.value))
    return b"".join((_MAGIC, hashlib.sha256(body).digest(), body))


def _decode(content: bytes) -> SpoolRecord:
    """The record in `content`. Raises: ValueError when it is not exactly what `_encode` wrote."""
    if len(content) < _BODY_AT + _LENGTH.size:
        raise ValueError(f"{len(content)} bytes are too few")
    if not content.startswith(_MAGIC):
        raise ValueError(f"begins with {content[: len(_MAGIC)]!r}")
    if hashlib.sha256(memoryview(content)[_BODY_AT:]).digest() != content[len(_MAGIC) : _BODY_AT]:
        raise ValueError("its checksum does not match")
    (n_head,) = _LENGTH.unpack_from(content, _BODY_AT)
    head_at = _BODY_AT + _LENGTH.size
    head = json.loads(content[head_at : head_at + n_head])
    headers = tuple((name, text.encode()) for name, text in head["headers"])
    return SpoolRecord(head["key"].encode(), content[head_at + n_head :], headers)


def _write_durably(path: Path, content: bytes) -> None:
    aside = path.with_suffix(_PART)
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _own(folder: Path) -> int:
    """An exclusive lock on `folder`, freed by the system when the process ends however it ends."""
    import fcntl

    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(lock)
        raise SetupError(
            f"another camera process already sends for this station (it owns {folder}): stop it, "
            "or give this one another --source or --state"
        ) from exc
    return lock


def _scan(folder: Path) -> OrderedDict[int, int]:
    """Number and size of every entry, oldest first."""
    found = sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())
    return OrderedDict((int(path.stem), path.stat().st_size) for path in found)


def _numbers_in(folder: Path) -> Iterator[int]:
    """Every number in use, quarantined entries included, so that none is given twice."""
    for path in (*folder.glob(f"*{_SUFFIX}"), *(folder / _QUARANTINE).glob(f"*{_SUFFIX}")):
        if path.stem.isdigit():
            yield int(path.stem)

"""Retention of evidence: by age and by size, per outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import fsspec

from schemas.errors import TransientError


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How long and how much evidence of one kind is kept; None is without limit."""

    kind: str
    max_age_s: float | None
    max_bytes: int | None


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep removed and left."""

    n_removed: int
    removed_bytes: int
    kept_bytes: int


def sweep(root: str, rule: RetentionRule, now: datetime) -> Swept:
    """Remove what `rule` no longer keeps under ``<root>/<kind>``, oldest first.

    Raises: TransientError when the store cannot be listed or written now.
    """
    try:
        filesystem, path = fsspec.core.url_to_fs(f"{root.rstrip('/')}/{rule.kind}")
        store = cast(Any, filesystem)
        store.invalidate_cache()
        if not store.exists(path):
            return Swept(0, 0, 0)
        files = sorted((_age_s(entry, now), entry) for entry in _files(store, path))
        return _remove(store, files, rule)
    except OSError as exc:
        raise TransientError(f"evidence store {root} cannot be swept: {exc}") from exc


def _files(store: Any, path: str) -> list[_Entry]:
    details = store.find(path, detail=True)
    return [_Entry(name, int(info["size"] or 0), _modified(info)) for name, info in details.items()]


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    name: str
    n_bytes: int
    modified: datetime


def _modified(info: dict[str, Any]) -> datetime:
    stamp = info.get("mtime") or info.get("LastModified") or info.get("created")
    if isinstance(stamp, datetime):
        return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
    return datetime.fromtimestamp(float(stamp or 0.0), UTC)


def _age_s(entry: _Entry, now: datetime) -> float:
    return (now - entry.modified).total_seconds()


def _remove(store: Any, youngest_first: list[tuple[float, _Entry]], rule: RetentionRule) -> Swept:
    kept_bytes = removed_bytes = n_removed = 0
    for age_s, entry in youngest_first:
        too_old = rule.max_age_s is not None and age_s > rule.max_age_s
        too_much = rule.max_bytes is not None and kept_bytes + entry.n_bytes > rule.max_bytes
        if too_old or too_much:
            store.rm_file(entry.name)
            n_removed += 1
            removed_bytes += entry.n_bytes
        else:
            kept_bytes += entry.n_bytes
    return Swept(n_removed, removed_bytes, kept_bytes)

"""Keeping the pictures a quality engineer must be able to look at, before the record that names them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import TypeVar

from agents.ack import Progress
from schemas.errors import StaleWrite, TransientError
from schemas.store import ContentStore

_log = logging.getLogger(__name__)
_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/bmp": ".bmp", "image/tiff": ".tif"}
_LONGEST_BACKOFF_S = 10.0
T = TypeVar("T")


def suffix_of(content_type: str) -> str:
    """File suffix of a picture of this content type."""
    return _SUFFIXES.get(content_type.split(";", maxsplit=1)[0].strip().lower(), ".bin")


class EvidenceKeeper:
    """Puts content into the store off the event loop, folder by folder, retrying while the store is away."""

    def __init__(self, root: str, progress: Progress) -> None:
        self._root = root.rstrip("/")
        self._progress = progress
        self._stores: dict[str, ContentStore] = {}

    async def keep(self, content: bytes, suffix: str, kind: str) -> str:
        """Store `content` under `kind` (fail, review, pass, dead-letter, alert) and return its reference."""
        store = self._store(kind)
        return await persistently(lambda: store.put(content, suffix), self._progress, "evidence store")

    def reference(self, content: bytes, suffix: str, kind: str) -> str:
        """The reference `keep` will return for this content."""
        return self._store(kind).ref(hashlib.sha256(content).hexdigest(), suffix)

    def _store(self, kind: str) -> ContentStore:
        if kind not in self._stores:
            self._stores[kind] = ContentStore(f"{self._root}/{kind}")
        return self._stores[kind]


async def persistently(call: Callable[[], T], progress: Progress, service: str) -> T:
    """Run a blocking `call` in a thread until it stops raising TransientError; nothing is acknowledged meanwhile."""
    backoff_s = 0.1
    while True:
        try:
            result = await asyncio.to_thread(call)
        except StaleWrite:
            raise
        except TransientError as error:
            progress.waiting_for = service
            _log.warning("%s is away, retrying in %.1f s: %s", service, backoff_s, error)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
        else:
            progress.waiting_for = None
            return result

"""Claim check: a picture too large to travel is stored, and the message says where."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from agents.backlog import FrameRefusedError
from agents.frame_sources import SUFFIXES, content_type_of
from agents.spool import SpoolRecord
from schemas.store import ContentStore
from schemas.topics import MAX_CLAIMED_PICTURE_BYTES, MAX_INLINE_PICTURE_BYTES


class ClaimCheck:
    """Lets small pictures pass and stores large ones. `store` None: large ones are refused."""

    def __init__(self, store: ContentStore | None) -> None:
        self._store = store

    def check_size(self, record: SpoolRecord) -> None:
        """Raises: FrameRefusedError when the picture can travel neither way."""
        size = len(record.value)
        if size > MAX_INLINE_PICTURE_BYTES and self._store is None:
            raise FrameRefusedError(
                f"the picture has {size} bytes and at most {MAX_INLINE_PICTURE_BYTES} travel in a message: "
                "give --claims URL (a folder or bucket the workers read too), or compress the picture"
            )
        if size > MAX_CLAIMED_PICTURE_BYTES:
            raise FrameRefusedError(
                f"the picture has {size} bytes and the workers take at most {MAX_CLAIMED_PICTURE_BYTES}: "
                "crop or compress it"
            )

    def exchange(self, record: SpoolRecord) -> SpoolRecord:
        """`record` itself, or, when its picture is too large to travel, one that names where the picture now is.

        Raises: FrameRefusedError; TransientError when the store is away.
        """
        if len(record.value) <= MAX_INLINE_PICTURE_BYTES:
            return record
        self.check_size(record)
        assert self._store is not None
        ref = self._store.put(record.value, SUFFIXES.get(content_type_of(record.value) or "", ".bin"))
        sha256 = hashlib.sha256(record.value).hexdigest()
        headers = (*record.headers, ("ce_dataref", ref.encode()), ("ce_datasha256", sha256.encode()))
        return replace(record, value=b"", headers=headers)

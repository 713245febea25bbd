"""Identities seen lately, to drop what at-least-once delivery repeats."""

from __future__ import annotations

from collections import OrderedDict


class Recent:
    """Remembers the last `capacity` identities."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[str, None] = OrderedDict()

    def is_new(self, identity: str) -> bool:
        """Whether `identity` was not among those remembered; from now on it is."""
        if identity in self._seen:
            self._seen.move_to_end(identity)
            return False
        self._seen[identity] = None
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return True

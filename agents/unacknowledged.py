"""Frames the broker has not acknowledged yet, in order: first those in the spool, then those in memory alone."""

from __future__ import annotations

from collections import deque

from agents.spool import Spool, SpoolEntryCorruptError, SpoolRecord


class Waiting:
    """One unacknowledged frame. `record` is None when it lies in the spool, under `number`."""

    __slots__ = ("done", "handed", "n_bytes", "number", "record")

    def __init__(self, record: SpoolRecord | None, number: int | None) -> None:
        self.record = record
        self.number = number
        self.n_bytes = 0 if record is None else record.n_bytes
        self.handed = False
        self.done = False


class Unacknowledged:
    """The queue between camera and broker. Not thread-safe: the owner locks.

    It is ordered twice over: what was handed to the producer comes before what was not, and what is in the
    spool before what is in memory alone.
    """

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._queue: deque[Waiting] = deque(Waiting(None, number) for number in spool)
        self.n_handed = 0
        self.handed_bytes = 0
        self.memory_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def n_unhanded(self) -> int:
        """Frames the producer has not been given."""
        return len(self._queue) - self.n_handed

    @property
    def is_spool_ahead(self) -> bool:
        """Whether the newest frame lies in the spool and waits: the next one is as safe only there."""
        return bool(self._queue) and self._queue[-1].number is not None and not self._queue[-1].handed

    def join_in_memory(self, record: SpoolRecord) -> None:
        """Append `record`, kept in memory."""
        self._queue.append(Waiting(record, None))
        self.memory_bytes += record.n_bytes

    def join_in_spool(self, record: SpoolRecord) -> None:
        """Append `record`, durable on return, after making durable all that is before it.

        Raises: SpoolFullError; `record` has not joined then.
        """
        self.spill()
        self._queue.append(Waiting(None, self.spool.append(record)))

    def spill(self) -> int:
        """Make every frame durable that is in memory alone; how many those were. Raises: SpoolFullError."""
        in_memory: list[Waiting] = []
        for waiting in reversed(self._queue):
            if waiting.record is None:
                break
            in_memory.append(waiting)
        for waiting in reversed(in_memory):
            if waiting.record is not None and not waiting.done:
                waiting.number = self.spool.append(waiting.record)
                waiting.record = None
                self.memory_bytes -= waiting.n_bytes
        return len(in_memory)

    def next_unhanded(self) -> Waiting | None:
        """The oldest frame the producer has not been given."""
        return self._queue[self.n_handed] if self.n_unhanded else None

    def load(self, waiting: Waiting) -> SpoolRecord:
        """Its record. Raises: SpoolEntryCorruptError; it has left the queue then."""
        if waiting.record is not None:
            return waiting.record
        assert waiting.number is not None
        try:
            return self.spool.read(waiting.number)
        except SpoolEntryCorruptError:
            self._queue.remove(waiting)
            raise

    def hand_over(self, waiting: Waiting, n_bytes: int) -> None:
        """`waiting`, which is `next_unhanded`, goes to the producer as `n_bytes`."""
        waiting.handed = True
        waiting.n_bytes = n_bytes if waiting.record is None else waiting.n_bytes
        self.n_handed += 1
        self.handed_bytes += waiting.n_bytes

    def take_back(self) -> None:
        """The producer died: nothing is handed over any more; all of it goes again, in order."""
        self._queue = deque(waiting for waiting in self._queue if not waiting.done)
        for waiting in self._queue:
            if not waiting.handed:
                break
            waiting.handed = False
        self.n_handed = self.handed_bytes = 0

    def finish(self, waiting: Waiting) -> None:
        """`waiting`, which was handed over, was acknowledged or refused for good."""
        if waiting.done:
            return
        waiting.done = True
        if waiting.number is not None:
            self.spool.remove(waiting.number)
        else:
            self.memory_bytes -= waiting.n_bytes
        while self._queue and self._queue[0].done:
            self.handed_bytes -= self._queue.popleft().n_bytes
            self.n_handed -= 1

    def drop(self, waiting: Waiting) -> None:
        """Take `waiting`, which is `next_unhanded`, out: it is refused for good. A spooled one is quarantined."""
        self._queue.remove(waiting)
        if waiting.number is not None:
            self.spool.quarantine(waiting.number)
        else:
            self.memory_bytes -= waiting.n_bytes

    def forget_memory(self) -> int:
        """Drop what is in memory alone, which the spool could not take at the end; how many those were."""
        kept = deque(waiting for waiting in self._queue if waiting.record is None)
        n_lost = sum(1 for waiting in self._queue if waiting.record is not None and not waiting.done)
        self._queue, self.memory_bytes = kept, 0
        return n_lost

"""What the camera owes the broker: where each frame waits, what is counted, whether the broker is away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agents.spool import Spool, SpoolFullError, SpoolRecord
from agents.unacknowledged import Unacknowledged, Waiting
from schemas.errors import SightlineError

Notice = Callable[[str], None]


class FrameRefusedError(SightlineError):
    """The camera cannot take this frame; says why, with sizes and limits, and what to do."""


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """How much may be under way.

    memory_bytes: frames in memory alone; beyond it they go to the spool.
    handed_frames, handed_bytes: given to the producer and not acknowledged.
    patience_s: no acknowledgement for so long means that the broker is away.
    """

    memory_bytes: int = 32 * 1024 * 1024
    handed_frames: int = 1024
    handed_bytes: int = 16 * 1024 * 1024
    patience_s: float = 3.0


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What became of the frames so far. n_spooled lie in the spool now; n_resumed did when this run began."""

    n_acknowledged: int
    n_unacknowledged: int
    n_spooled: int
    n_resumed: int
    n_refused: int
    n_quarantined: int
    away: str | None


class Backlog:
    """Decides where a frame waits, and keeps the counts. Not thread-safe: the owner locks.

    Args:
        spool: this station's; what it still holds is first in line.
        limits: see `DeliveryLimits`.
        waits: whether frames may wait outside (a folder can) or must be taken or refused (a shutter cannot wait).
        notice: told, once each, what a person should know.
    """

    def __init__(self, spool: Spool, limits: DeliveryLimits, *, waits: bool, notice: Notice) -> None:
        self.queue = Unacknowledged(spool)
        self.away: str | None = None
        self._spool, self._limits = spool, limits
        self._waits, self._notice = waits, notice
        self._spool_is_full = False
        self._last_progress_s = 0.0
        self._n_resumed = len(spool)
        self._n_acknowledged = self._n_refused = 0

    @property
    def state(self) -> DeliveryState:
        """A snapshot of the counts."""
        return DeliveryState(
            n_acknowledged=self._n_acknowledged,
            n_unacknowledged=len(self.queue),
            n_spooled=len(self._spool),
            n_resumed=self._n_resumed,
            n_refused=self._n_refused,
            n_quarantined=self._spool.n_quarantined,
            away=self.away,
        )

    @property
    def may_hand_over(self) -> bool:
        """Whether a frame waits that the producer has room for."""
        queue, limits = self.queue, self._limits
        has_room = queue.n_handed < limits.handed_frames and queue.handed_bytes < limits.handed_bytes
        return queue.n_unhanded > 0 and has_room

    def take(self, record: SpoolRecord) -> bool:
        """Put `record` where there is room; False when it has to wait outside.

        Raises: FrameRefusedError, counted, when there is no room and it may not wait.
        """
        has_memory = not len(self.queue) or self.queue.memory_bytes + record.n_bytes <= self._limits.memory_bytes
        if has_memory and self.away is None and not self.queue.is_spool_ahead:
            self.queue.join_in_memory(record)
            return True
        if self.away is None and self._waits:
            return False
        try:
            self.queue.join_in_spool(record)
        except SpoolFullError as full:
            self._tell_full(full)
            if has_memory:
                self.queue.join_in_memory(record)
                return True
            if not self._waits:
                self.refuse(str(full))
            return False
        self._spool_is_full = False
        return True

    def refuse(self, reason: str) -> None:
        """Count a frame that never joined. Raises: FrameRefusedError, always."""
        self._n_refused += 1
        raise FrameRefusedError(reason)

    def hand_over(self, waiting: Waiting, n_bytes: int, now_s: float) -> None:
        """`waiting` goes to the producer as `n_bytes`."""
        if not self.queue.n_handed:
            self._last_progress_s = now_s
        self.queue.hand_over(waiting, n_bytes)

    def acknowledged(self, waiting: Waiting, now_s: float) -> None:
        """The broker has `waiting` for good."""
        self._n_acknowledged += 1
        self._last_progress_s = now_s
        self.queue.finish(waiting)
        self.come_back()

    def refused_by_broker(self, waiting: Waiting, reason: str) -> None:
        """The broker will never take `waiting`, which was handed over."""
        self._n_refused += 1
        self.queue.finish(waiting)
        self._notice(reason)

    def give_up_on(self, waiting: Waiting, reason: str) -> None:
        """`waiting`, next in line, cannot be sent at all."""
        self._n_refused += 1
        self.queue.drop(waiting)
        self._notice(reason)

    def watch(self, now_s: float) -> None:
        """Declare the broker away when it has acknowledged nothing for too long."""
        silent_s = now_s - self._last_progress_s
        if self.queue.n_handed and silent_s > self._limits.patience_s and self.away is None:
            self.go_away(f"the broker has acknowledged nothing for {silent_s:.0f} s")

    def go_away(self, reason: str) -> None:
        """The broker is away: everything goes to disk until it is back."""
        if self.away is None:
            self._notice(f"{reason}; frames go to the spool {self._spool.folder} until it is back")
        self.away = reason
        try:
            self.queue.spill()
        except SpoolFullError as full:
            self._tell_full(full)

    def come_back(self) -> None:
        """The broker is there again."""
        if self.away is not None:
            self.away = None
            n_spooled = len(self._spool)
            self._notice("the broker is back" + (f"; sending {n_spooled} spooled frames" if n_spooled else ""))

    def settle(self) -> None:
        """At the end: keep on disk what was not acknowledged; what the spool cannot take is lost, and counted."""
        self.queue.take_back()
        try:
            self.queue.spill()
        except SpoolFullError as full:
            n_lost = self.queue.forget_memory()
            self._n_refused += n_lost
            self._notice(f"{n_lost} frames are lost: {full}")

    def _tell_full(self, full: SpoolFullError) -> None:
        if not self._spool_is_full:
            self._spool_is_full = True
            self._notice(f"{full}; {'waiting' if self._waits else 'refusing frames'} until there is room")

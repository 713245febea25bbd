"""Delivery from the camera to Kafka: counted when acknowledged, on disk while the broker is away, never reordered."""

from __future__ import annotations

import threading
import time

from agents.backlog import Backlog, DeliveryLimits, DeliveryState, FrameRefusedError, Notice
from agents.claim_check import ClaimCheck
from agents.frame_producer import FrameProducer, ProducerFactory, is_too_large_for_broker
from agents.spool import Spool, SpoolEntryCorruptError, SpoolRecord
from agents.unacknowledged import Waiting
from schemas.errors import SetupError, TransientError

_TICK_S = 0.25
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.2, 2.0


class FramePublisher:
    """Takes frames in order and delivers them in order, from one thread of its own.

    Args:
        connect: opens a producer; called again after every failure.
        spool: this station's; what it still holds is delivered first.
        claims: what becomes of pictures too large to travel.
        limits: how much may be under way.
        waits: whether `publish` may wait for room (a folder can) or must not (a shutter cannot).
        notice: told, once each, what a person should know.
    """

    def __init__(
        self,
        connect: ProducerFactory,
        spool: Spool,
        claims: ClaimCheck,
        *,
        limits: DeliveryLimits | None = None,
        waits: bool = False,
        notice: Notice = lambda _text: None,
    ) -> None:
        self._connect, self._spool, self._claims, self._notice = connect, spool, claims, notice
        self._backlog = Backlog(spool, limits or DeliveryLimits(), waits=waits, notice=notice)
        self._changed = threading.Condition(threading.RLock())
        self._producer: FrameProducer | None = None
        self._generation = 0
        self._setup_error: SetupError | None = None
        self._was_connected = self._closing = False
        self._thread = threading.Thread(target=self._run, name="frame-publisher", daemon=True)
        self._thread.start()

    @property
    def state(self) -> DeliveryState:
        """A snapshot of the counts."""
        with self._changed:
            return self._backlog.state

    def publish(self, record: SpoolRecord, give_up: threading.Event | None = None) -> None:
        """Take `record` over. While the broker is away it is on disk on return.

        Args: give_up: set to end waiting for room.
        Raises: FrameRefusedError (counted) when it is too large or neither memory nor spool has room;
            SetupError when the broker refused this camera before it ever took a frame.
        """
        with self._changed:
            if self._setup_error is not None:
                raise self._setup_error
            try:
                self._claims.check_size(record)
            except FrameRefusedError as refused:
                self._backlog.refuse(str(refused))
            while not self._backlog.take(record):
                if give_up is not None and give_up.is_set():
                    self._backlog.refuse("the camera was stopped before there was room for the frame")
                self._changed.wait(_TICK_S)
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until all is acknowledged, `timeout_s` at most; whether it is.

        Raises: SetupError when the broker refused this camera before it ever took a frame.
        """
        with self._changed:
            done = self._changed.wait_for(
                lambda: self._setup_error is not None or not self._backlog.state.n_unacknowledged, timeout_s
            )
            if self._setup_error is not None:
                raise self._setup_error
            return done

    def close(self) -> DeliveryState:
        """End now. What is not acknowledged is kept in the spool for the next run; the final counts."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        with self._changed:
            producer, self._producer = self._producer, None
            is_idle = not self._backlog.queue.n_handed
            self._generation += 1
            self._backlog.settle()
            final = self._backlog.state
        if producer is not None and is_idle:
            producer.close()
        elif producer is not None:
            producer.abandon()
        self._spool.close()
        return final

    def _run(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        while self._await_work():
            try:
                if self._producer is None:
                    self._open_producer()
                self._send_next()
                backoff_s = _FIRST_BACKOFF_S
            except TransientError as away:
                with self._changed:
                    self._backlog.go_away(str(away))
                    self._changed.wait_for(lambda: self._closing, backoff_s)
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)

    def _await_work(self) -> bool:
        """Wait until something can be done; False at the end."""
        with self._changed:
            while not self._closing:
                self._backlog.watch(time.monotonic())
                if self._producer is None or self._backlog.may_hand_over:
                    return True
                self._changed.wait(_TICK_S)
            return False

    def _open_producer(self) -> None:
        try:
            producer = self._connect()
        except SetupError as error:
            if not self._was_connected:
                with self._changed:
                    self._setup_error = error
                    self._changed.notify_all()
            raise TransientError(str(error)) from error
        with self._changed:
            self._producer, self._was_connected, self._setup_error = producer, True, None
            if not self._backlog.state.n_unacknowledged:
                self._backlog.come_back()

    def _send_next(self) -> None:
        """Hand the oldest waiting frame to the producer. Raises: TransientError when the claim store is away."""
        with self._changed:
            waiting = self._backlog.queue.next_unhanded()
            if waiting is None:
                return
            try:
                record = self._backlog.queue.load(waiting)
            except SpoolEntryCorruptError as corrupt:
                self._notice(str(corrupt))
                return
        try:
            record = self._claims.exchange(record)
        except FrameRefusedError as refused:
            with self._changed:
                self._backlog.give_up_on(waiting, f"a spooled frame is refused and kept in the quarantine: {refused}")
            return
        with self._changed:
            producer, generation = self._producer, self._generation
            if producer is None:
                return
            self._backlog.hand_over(waiting, record.n_bytes, time.monotonic())
        try:
            producer.send(
                record,
                lambda: self._acknowledged(waiting, generation),
                lambda failure: self._failed(waiting, generation, failure),
            )
        except Exception as failure:
            self._failed(waiting, generation, failure)

    def _acknowledged(self, waiting: Waiting, generation: int) -> None:
        with self._changed:
            if generation == self._generation:
                self._backlog.acknowledged(waiting, time.monotonic())
                self._changed.notify_all()

    def _failed(self, waiting: Waiting, generation: int, failure: BaseException) -> None:
        with self._changed:
            if generation != self._generation:
                return
            if is_too_large_for_broker(failure):
                # Only the oldest is: the library fails all the others with it (kafka-python 3.0), which go again.
                remedy = "raise the topic's max.message.bytes to 10485760"
                self._backlog.refused_by_broker(
                    waiting, f"the broker refused a frame for its size ({failure}): {remedy}"
                )
            else:
                self._backlog.go_away(f"the broker failed ({failure!r})")
            self._abandon_producer()
            self._changed.notify_all()

    def _abandon_producer(self) -> None:
        """Make sure nothing more leaves by the present producer; what it had goes again by the next one."""
        producer, self._producer = self._producer, None
        self._generation += 1
        if producer is not None:
            producer.abandon()
        self._backlog.queue.take_back()

"""The camera process: shots become frames with an identity of their own, at a steady pace, delivered to Kafka."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum

from agents.backlog import DeliveryState, FrameRefusedError
from agents.frame_publisher import FramePublisher
from agents.frame_sources import FrameSource, RefusedShot, Shot
from agents.spool import SpoolRecord
from schemas.frame import Frame, encode_headers

_LATEST_CATCH_UP_S = 1.0
_SHOW_EVERY_S = 0.2


class FrameIdentity(StrEnum):
    """What a frame's id is made from.

    BOOT: source, epoch and sequence, so that every shot is a frame of its own. CONTENT: source and the picture's
    bytes, so that sending a file again changes nothing.
    """

    BOOT = "boot"
    CONTENT = "content"


def boot_epoch(unix_ms: int, salt: str | None = None) -> str:
    """An id of one run of a camera: later runs sort after earlier ones, and no two are alike.

    Args: unix_ms: when the run began; salt: eight hexadecimal digits, random when None.
    """
    return f"{unix_ms:012x}{salt or secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """Who the camera is. `station` is ``site/line/station``; `lot` wins over what the source knows."""

    station: str
    epoch: str
    product: str | None = None
    lot: str | None = None
    identity: FrameIdentity = FrameIdentity.BOOT


class Camera:
    """Numbers the shots of one run and makes frames of them."""

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self._sequence = 0

    def capture(self, shot: Shot, captured_at: datetime) -> Frame:
        """The frame of `shot`; every call uses up one sequence number, so that a frame lost later leaves a gap."""
        settings, sequence = self._settings, self._sequence
        self._sequence += 1
        return Frame(
            frame_id=self._frame_id(sequence, shot.picture),
            station=settings.station,
            content_type=shot.content_type,
            captured_at=captured_at,
            picture=shot.picture,
            unit_id=shot.unit_id,
            lot=settings.lot or shot.lot,
            product=settings.product,
            epoch=settings.epoch,
            sequence=sequence,
        )

    def _frame_id(self, sequence: int, picture: bytes) -> str:
        settings = self._settings
        if settings.identity is FrameIdentity.CONTENT:
            digest = hashlib.sha256(f"{settings.station}\x1f".encode())
            digest.update(picture)
        else:
            digest = hashlib.sha256(f"{settings.station}\x1f{settings.epoch}\x1f{sequence}".encode())
        return digest.hexdigest()[:32]


def record_of(frame: Frame) -> SpoolRecord:
    """The Kafka record of `frame`, keyed by its station."""
    return SpoolRecord(frame.station.encode(), frame.picture, tuple(encode_headers(frame)))


class Pacer:
    """Waits until each frame is due. Due times are multiples of the period, so that delays do not add up.

    Args: fps: frames per second, None for as fast as it goes; clock: seconds, monotonic.
    """

    def __init__(self, fps: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._period_s = None if fps is None else 1 / fps
        self._clock = clock
        self._due_s: float | None = None

    def wait(self, stop: threading.Event) -> bool:
        """Return when the next frame is due, or at once when `stop` is set; False then.

        A camera more than a second behind skips what it missed instead of sending it in a burst.
        """
        if self._period_s is None:
            return not stop.is_set()
        now_s = self._clock()
        if self._due_s is None or now_s - self._due_s > _LATEST_CATCH_UP_S:
            self._due_s = now_s
        pause_s = self._due_s - now_s
        self._due_s += self._period_s
        return not (stop.wait(pause_s) if pause_s > 0 else stop.is_set())


@dataclass(frozen=True, slots=True)
class CameraReport:
    """What one run did. n_refused counts files that are no pictures, oversized frames and a full spool alike."""

    station: str
    epoch: str
    n_captured: int
    n_acknowledged: int
    n_resumed: int
    n_spooled: int
    n_refused: int
    n_quarantined: int
    seconds: float
    fps: float

    @property
    def all_delivered(self) -> bool:
        """Whether every frame, of this run and of earlier ones, is with the broker."""
        return self.n_refused == 0 and self.n_spooled == 0 and self.n_quarantined == 0

    def as_json(self) -> dict[str, object]:
        """The report as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, for whoever shows it."""

    n_captured: int
    n_refused_shots: int
    seconds: float
    delivery: DeliveryState


@dataclass(frozen=True, slots=True)
class Shutter:
    """When to shoot and when to end.

    count: frames to take, None for as long as the source lasts. stop: ends the run as soon as it is set.
    drain_s: after the last shot, longest wait for acknowledgements, None for as long as it takes; `stop` cuts it
    to at most `stop_drain_s`.
    """

    pacer: Pacer
    stop: threading.Event
    count: int | None = None
    drain_s: float | None = None
    stop_drain_s: float = 5.0


def run_camera(
    source: FrameSource,
    settings: CameraSettings,
    publisher: FramePublisher,
    shutter: Shutter,
    *,
    notice: Callable[[str], None],
    show: Callable[[Progress], None],
) -> CameraReport:
    """Send what `source` yields until it ends, `shutter.count` is reached or `shutter.stop` is set.

    Args: publisher: closed on return; notice: told each refusal; show: told the progress, five times a second.
    Raises: SetupError when the broker refuses this camera from the start.
    """
    camera, started_s = Camera(settings), time.monotonic()
    n_captured = n_refused_shots = 0
    shown_s = -_SHOW_EVERY_S

    def show_progress() -> None:
        show(Progress(n_captured, n_refused_shots, time.monotonic() - started_s, publisher.state))

    try:
        for shot in _paced(source, shutter):
            if isinstance(shot, RefusedShot):
                n_refused_shots += 1
                notice(f"refused: {shot.reason}")
            else:
                frame = camera.capture(shot, datetime.now(UTC))
                n_captured += 1
                try:
                    publisher.publish(record_of(frame), shutter.stop)
                except FrameRefusedError as refused:
                    notice(f"refused frame {frame.sequence} ({shot.unit_id or 'no unit id'}): {refused}")
            if time.monotonic() - shown_s >= _SHOW_EVERY_S:
                shown_s = time.monotonic()
                show_progress()
        show_progress()
    finally:
        final = _drain(publisher, shutter, show_progress)
    seconds = time.monotonic() - started_s
    return CameraReport(
        station=settings.station,
        epoch=settings.epoch,
        n_captured=n_captured,
        n_acknowledged=final.n_acknowledged,
        n_resumed=final.n_resumed,
        n_spooled=final.n_spooled,
        n_refused=final.n_refused + n_refused_shots,
        n_quarantined=final.n_quarantined,
        seconds=seconds,
        fps=final.n_acknowledged / seconds if seconds > 0 else 0.0,
    )


def _paced(source: FrameSource, shutter: Shutter) -> Iterator[Shot | RefusedShot]:
    if shutter.count == 0:
        return
    n_taken = 0
    for shot in source:
        if not shutter.pacer.wait(shutter.stop):
            return
        yield shot
        n_taken += isinstance(shot, Shot)
        if shutter.count is not None and n_taken >= shutter.count:
            return


def _drain(publisher: FramePublisher, shutter: Shutter, show: Callable[[], None]) -> DeliveryState:
    """Wait for the acknowledgements of what was sent, then close the publisher."""
    until_s = None if shutter.drain_s is None else time.monotonic() + shutter.drain_s
    try:
        while not shutter.stop.is_set() and (until_s is None or time.monotonic() < until_s):
            if publisher.drain(_SHOW_EVERY_S):
                break
            show()
        if publisher.state.away is None:
            publisher.drain(shutter.stop_drain_s if shutter.stop.is_set() else 0.0)
    finally:
        final = publisher.close()
    return final

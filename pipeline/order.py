"""Which frames of a station are new: the order of sequences within a camera's boot, repeats, gaps."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.aligned import AlignedHeader

KEPT_FRAMES = 64
KEPT_EPOCHS = 8


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame of the recent past. `number`: its sequence, or when it has none, its count since the start."""

    frame_id: str
    number: int
    epoch: str | None


@dataclass(slots=True)
class Order:
    """The last sequence of each boot (epoch) of the camera, oldest boot first, and the latest frames.

    A frame whose sequence is not above the last of its epoch changes nothing, whatever came between. Frames
    without a sequence are told apart by `frame_id` among the latest.
    """

    epochs: dict[str, int] = field(default_factory=dict)
    recent: list[Seen] = field(default_factory=list)
    n_frames: int = 0
    n_lost: int = 0

    def is_new(self, header: AlignedHeader) -> bool:
        """False for a repeat, and for a frame older than the last of its epoch."""
        if header.sequence is None:
            return all(seen.frame_id != header.frame_id for seen in self.recent)
        last = self.epochs.get(header.epoch or "")
        return last is None or header.sequence > last

    def follow(self, header: AlignedHeader) -> int:
        """Take in a new frame. Returns: frames since the one before, more than 1 when some were lost."""
        elapsed, number = 1, self.n_frames
        if header.sequence is not None:
            epoch, number = header.epoch or "", header.sequence
            if epoch in self.epochs:
                elapsed = header.sequence - self.epochs.pop(epoch)
                self.n_lost += elapsed - 1
            self.epochs[epoch] = header.sequence
            while len(self.epochs) > KEPT_EPOCHS:
                del self.epochs[next(iter(self.epochs))]
        self.recent.append(Seen(header.frame_id, number, header.epoch))
        del self.recent[:-KEPT_FRAMES]
        self.n_frames += 1
        return elapsed

    @property
    def last_epoch(self) -> str | None:
        """Epoch of the last frame that had a sequence; None also when that frame named none."""
        return next(reversed(self.epochs), None) or None

    @property
    def last_sequence(self) -> int | None:
        """Sequence of the last frame that had one."""
        return next(reversed(self.epochs.values()), None)

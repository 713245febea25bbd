"""Exact rolling median, over the last w frames, of the x and y gradients at every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.masked_median_kernels import advance_masked
from pipeline.median_kernels import SEGMENT_PX, advance

MAX_WINDOW_FRAMES = 255
Picture = NDArray[np.uint8] | NDArray[np.uint16]
Mask = NDArray[np.bool_]
_PAD_BYTES = 1152
"""Between frames, so that the same pixel of neighbouring frames does not fall into the same cache set."""


def gradients(picture: Picture) -> NDArray[np.int32]:
    """Central differences, without the half: g_x = I(x+1) - I(x-1), g_y = I(y+1) - I(y-1).

    Args: picture: (H, W) uint8 or uint16.
    Returns: (2, H, W) int32, x then y; the outermost columns (x) and rows (y), which lack a neighbour, are 0.
    """
    grey = picture.astype(np.int32)
    out = np.zeros((2, *grey.shape), np.int32)
    out[0, :, 1:-1] = grey[:, 2:] - grey[:, :-2]
    out[1, 1:-1, :] = grey[2:, :] - grey[:-2, :]
    return out


def median_of_window(window: Sequence[Picture]) -> NDArray[np.float64]:
    """The oracle: np.median over the frames' gradients, (2, H, W) float64. Slow; for tests and benchmarks."""
    medians: NDArray[np.float64] = np.median(np.stack([gradients(picture) for picture in window]), axis=0)
    return medians


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One frame of a window: its picture (H, W), and which of its pixels count (None = all)."""

    picture: Picture
    valid: Mask | None = None


class RollingMedian:
    """The last `n_window_frames` frames of one shape and the exact median of their gradients.

    While the window fills, when w is even and where pixels are masked the count at a pixel may be even: the
    median is then the mean of the two middle values, as np.median's, and `twice_median` keeps it exact.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], n_window_frames: int) -> None:
        """Args: shape: (H, W), at least 3x3; dtype: uint8 or uint16; n_window_frames: w, 1 to 255.

        Raises: ValueError naming the argument that is out of range.
        """
        if not 1 <= n_window_frames <= MAX_WINDOW_FRAMES:
            raise ValueError(f"a window of {n_window_frames} frames: w must be 1 to {MAX_WINDOW_FRAMES}")
        if len(shape) != 2 or min(shape) < 3:
            raise ValueError(f"frames of shape {shape}: both sides must be at least 3 px")
        if dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
            raise ValueError(f"frames of type {dtype}: uint8 or uint16 grey is expected")
        self.shape = shape
        self.dtype = dtype
        self.n_window_frames = n_window_frames
        self.n_frames = 0
        self.next_slot = 0
        self._shift = max(1, (n_window_frames - 1).bit_length())
        narrow = dtype == np.dtype(np.uint8) and self._shift <= 6
        lane, apart = (np.int16, np.uint16) if narrow else (np.int32, np.uint32)
        n_px = shape[0] * shape[1]
        self._frames = np.zeros((n_window_frames, n_px + _PAD_BYTES // dtype.itemsize), dtype)
        self._masks: NDArray[np.uint8] | None = None
        self._masked = np.zeros(n_window_frames, np.uint8)
        self._lo = np.zeros((2, n_px), lane)
        self._hi = np.zeros((2, n_px), lane)
        self._count: NDArray[Any] | None = None
        self._scratch = np.zeros((2, SEGMENT_PX), lane)
        self._reach = np.zeros((2, SEGMENT_PX), apart)

    @property
    def last_slot(self) -> int:
        """Slot of the ring the last frame went into. Raises: ValueError while the window is empty."""
        if not self.n_frames:
            raise ValueError("the window is empty: no slot has been written")
        return (self.next_slot - 1) % self.n_window_frames

    def restore(self, frames: Mapping[int, Slot], next_slot: int) -> None:
        """Fill an empty window with `frames` by slot, numbered from 0 without a hole.

        The medians do not depend on the order, so a reloaded window equals the one that was saved.
        Raises: ValueError when the window is not empty or a slot is missing.
        """
        if self.n_frames or sorted(frames) != list(range(len(frames))):
            raise ValueError(f"slots {sorted(frames)} cannot be loaded into a window of {self.n_frames} frames")
        for slot in range(len(frames)):
            self.push(frames[slot].picture, frames[slot].valid)
        self.next_slot = next_slot % self.n_window_frames

    def push(self, picture: Picture, valid: Mask | None = None) -> None:
        """Take `picture` (H, W) into the window; the oldest frame leaves when the window is full.

        Args: valid: (H, W), False where a pixel does not count; None = all count.
        Raises: ValueError when the shape or type is not the window's.
        """
        if picture.shape != self.shape or picture.dtype != self.dtype:
            raise ValueError(
                f"a frame of shape {picture.shape} {picture.dtype} does not fit a window of {self.shape} {self.dtype}"
            )
        if valid is not None and (valid.shape != self.shape or valid.all()):
            if valid.shape != self.shape:
                raise ValueError(f"a mask of shape {valid.shape} does not fit frames of {self.shape}")
            valid = None
        slot, full = self.next_slot, self.n_frames == self.n_window_frames
        n_px = self._lo.shape[1]
        old = self._frames[slot, :n_px].copy()
        self._frames[slot, :n_px] = picture.reshape(-1)
        if valid is None and not self._masked.any():
            advance(
                self._frames, old, self.n_frames, full, slot, self.shape[1], self._shift, self._lo, self._hi,
                self._scratch, self._reach,
            )  # fmt: skip
        else:
            self._push_masked(old, valid, slot, full)
        self.n_frames += 0 if full else 1
        self.next_slot = (slot + 1) % self.n_window_frames

    def _push_masked(self, old: Picture, valid: Mask | None, slot: int, full: bool) -> None:
        n_px = self._lo.shape[1]
        if self._masks is None:
            self._masks = np.full((self.n_window_frames, n_px), 255, np.uint8)
        if self._count is None:
            self._count = np.full(self._lo.shape, self.n_frames, self._lo.dtype)
            if self.n_frames % 2:
                self._hi[:] = self._lo
        left = self._masks[slot].copy() if full else np.zeros(n_px, np.uint8)
        self._masks[slot] = 255 if valid is None else valid.reshape(-1) * np.uint8(255)
        self._masked[slot] = valid is not None
        advance_masked(
            self._frames, self._masks, self._masked, old, left, self.n_frames + (not full), slot, self.shape[1],
            self._shift, self._lo, self._hi, self._count, self._scratch, self._reach,
        )  # fmt: skip
        if not self._masked.any():
            self._count = None

    def slot(self, slot: int) -> Slot:
        """A copy of what lies in `slot`."""
        picture: Picture = self._frames[slot, : self._lo.shape[1]].reshape(self.shape).copy()
        if self._masks is None or not self._masked[slot]:
            return Slot(picture)
        return Slot(picture, self._masks[slot].reshape(self.shape) != 0)

    def slots(self) -> list[int]:
        """The slots in use, oldest frame first."""
        first = self.next_slot if self.n_frames == self.n_window_frames else 0
        return [(first + i) % self.n_window_frames for i in range(self.n_frames)]

    def twice_median(self) -> NDArray[np.int32]:
        """Twice the median of each gradient, (2, H, W) int32: exact, np.median's value times two.

        The outermost columns of x and rows of y are 0, as in `gradients`, and so are pixels that never counted.
        """
        low, high, shift, _ = self.middle_keys()
        out: NDArray[np.int32] = ((low >> shift).astype(np.int32) + (high >> shift)).reshape(2, *self.shape)
        out[0, :, 0] = out[0, :, -1] = 0
        out[1, 0, :] = out[1, -1, :] = 0
        return out

    def middle_keys(self) -> tuple[NDArray[Any], NDArray[Any], int, NDArray[Any] | None]:
        """The two middle keys (2, H * W), the shift that takes a key to its gradient, and the counts if they differ.

        Views, for kernels that read the median without a copy; their values hold until the next `push`.
        """
        same = self.n_frames % 2 == 1 and self._count is None
        return self._lo, self._lo if same else self._hi, self._shift, self._count

    def counts(self) -> NDArray[np.int32]:
        """How many gradients count at each pixel and axis, (2, H, W) int32."""
        if self._count is None:
            return np.full((2, *self.shape), self.n_frames, np.int32)
        return self._count.reshape(2, *self.shape).astype(np.int32)

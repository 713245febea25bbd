"""Exact rolling median, over the last w frames, of the x and y gradients at every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.median_kernels import SEGMENT_PX, advance

MAX_WINDOW_FRAMES = 255
Picture = NDArray[np.uint8] | NDArray[np.uint16]


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


class RollingMedian:
    """The last `n_window_frames` frames of one shape and the exact median of their gradients.

    While the window fills, and when w is even, the count may be even: the median is then the mean of the two
    middle values, as np.median's, and `twice_median` keeps it exact in integers.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], n_window_frames: int) -> None:
        """Args: shape: (H, W), at least 3x3; dtype: uint8 or uint16; n_window_frames: w, 1 to 255.

        Raises: ValueError naming the argument that is out of range.
        """
        if not 1 <= n_window_frames <= MAX_WINDOW_FRAMES:
            raise ValueError(f"a window of {n_window_frames} frames: w must be 1 to {MAX_WINDOW_FRAMES}")
        if min(shape) < 3:
            raise ValueError(f"frames of shape {shape}: both sides must be at least 3 px")
        if dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
            raise ValueError(f"frames of type {dtype}: uint8 or uint16 grey is expected")
        self.shape = shape
        self.n_window_frames = n_window_frames
        self.n_frames = 0
        self._next = 0
        self._shift = max(1, (n_window_frames - 1).bit_length())
        narrow = dtype == np.dtype(np.uint8) and self._shift <= 6
        lane, apart = (np.int16, np.uint16) if narrow else (np.int32, np.uint32)
        n_px = shape[0] * shape[1]
        self._frames = np.zeros((n_window_frames, n_px), dtype)
        self._lo = np.zeros((2, n_px), lane)
        self._hi = np.zeros((2, n_px), lane)
        self._scratch = np.zeros((2, SEGMENT_PX), lane)
        self._reach = np.zeros((2, SEGMENT_PX), apart)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the frames' pixels."""
        return self._frames.dtype

    @property
    def next_slot(self) -> int:
        """Slot of the ring the next frame goes into."""
        return self._next

    @property
    def last_slot(self) -> int:
        """Slot of the ring the last frame went into. Raises: ValueError while the window is empty."""
        if not self.n_frames:
            raise ValueError("the window is empty: no slot has been written")
        return (self._next - 1) % self.n_window_frames

    def restore(self, pictures: Mapping[int, Picture], next_slot: int) -> None:
        """Fill an empty window with `pictures` by slot, numbered from 0 without a hole.

        The medians do not depend on the order, so a reloaded window equals the one that was saved.
        Raises: ValueError when the window is not empty or a slot is missing.
        """
        if self.n_frames or sorted(pictures) != list(range(len(pictures))):
            raise ValueError(f"slots {sorted(pictures)} cannot be loaded into a window of {self.n_frames} frames")
        for slot in range(len(pictures)):
            self.push(pictures[slot])
        self._next = next_slot % self.n_window_frames

    def push(self, picture: Picture) -> None:
        """Take `picture` (H, W) into the window; the oldest frame leaves when the window is full."""
        if picture.shape != self.shape or picture.dtype != self.dtype:
            raise ValueError(
                f"a frame of shape {picture.shape} {picture.dtype} does not fit a window of {self.shape} {self.dtype}"
            )
        slot = self._next
        full = self.n_frames == self.n_window_frames
        old = self._frames[slot].copy()
        self._frames[slot] = picture.reshape(-1)
        advance(
            self._frames, old, self.n_frames, full, slot, self.shape[1], self._shift, self._lo, self._hi,
            self._scratch, self._reach,
        )  # fmt: skip
        self.n_frames += 0 if full else 1
        self._next = (slot + 1) % self.n_window_frames

    def frame(self, slot: int) -> Picture:
        """The picture (H, W) in `slot`, a read-only view."""
        view = self._frames[slot].reshape(self.shape)
        view.flags.writeable = False
        return view

    def slots(self) -> list[int]:
        """The slots in use, oldest frame first."""
        first = self._next if self.n_frames == self.n_window_frames else 0
        return [(first + i) % self.n_window_frames for i in range(self.n_frames)]

    def twice_median(self) -> NDArray[np.int32]:
        """Twice the median of each gradient, (2, H, W) int32: exact, np.median's value times two.

        The outermost columns of x and rows of y are 0, as in `gradients`.
        """
        height, width = self.shape
        total = (self._lo >> self._shift).astype(np.int32) + (self._hi >> self._shift)
        out = total.reshape(2, height, width)
        out[0, :, 0] = out[0, :, -1] = 0
        out[1, 0, :] = out[1, -1, :] = 0
        return out

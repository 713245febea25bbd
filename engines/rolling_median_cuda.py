"""The exact rolling median of gradients on a GPU, by pycuda: one kernel a frame.

The same answers as `pipeline.rolling_median.RollingMedian`, bit for bit, for frames in which every pixel counts.
Frames and medians stay on the device; a frame goes up, and what is asked for comes down.
"""

from __future__ import annotations

import importlib
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import MissingExtra, SetupError

_THREADS = 256
_PIXELS = {"uint8": "unsigned char", "uint16": "unsigned short"}
Picture = NDArray[np.uint8] | NDArray[np.uint16]


class CudaRollingMedian:
    """The last `n_window_frames` frames of one shape on the first GPU. Use from one thread; `close` it."""

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], n_window_frames: int) -> None:
        """Args: as of RollingMedian. Raises: MissingExtra without pycuda; SetupError without a GPU or compiler."""
        if dtype.name not in _PIXELS or not 1 <= n_window_frames <= 255 or min(shape) < 3:
            raise ValueError(f"frames of {shape} {dtype}, w = {n_window_frames}: uint8 or uint16, 3 px, w 1 to 255")
        try:
            self._cuda: Any = importlib.import_module("pycuda.driver")
            compiler: Any = importlib.import_module("pycuda.compiler")
        except ImportError as exc:
            raise MissingExtra("pycuda", "gpu", "the rolling median on a GPU") from exc
        source = files("engines").joinpath("rolling_median.cu").read_text()
        try:
            self._cuda.init()
            self._context: Any = self._cuda.Device(0).make_context()
        except self._cuda.Error as exc:
            raise SetupError(f"no GPU can be used for the rolling median: {exc}; the CPU's needs none") from exc
        try:
            module = compiler.SourceModule(f"#define PIXEL {_PIXELS[dtype.name]}\n{source}", no_extern_c=True)
            self._advance: Any = module.get_function("advance_window")
            self._allocate(shape, dtype, n_window_frames)
        except (self._cuda.Error, compiler.CompileError, OSError) as exc:
            self._context.pop()
            raise SetupError(f"the rolling median cannot be set up on this GPU: {exc}") from exc

    def _allocate(self, shape: tuple[int, int], dtype: np.dtype[Any], n_window_frames: int) -> None:
        self.shape, self.dtype, self.n_window_frames = shape, dtype, n_window_frames
        self.n_frames = self.next_slot = 0
        self._shift = max(1, (n_window_frames - 1).bit_length())
        n_px = shape[0] * shape[1]
        self._frame_bytes = n_px * dtype.itemsize
        self._frames = self._cuda.mem_alloc(n_window_frames * self._frame_bytes)
        self._old = self._cuda.mem_alloc(self._frame_bytes)
        self._lo, self._hi = (self._cuda.mem_alloc(2 * n_px * 4) for _ in range(2))
        self._length = self._cuda.mem_alloc(n_px * 4)
        for keys in (self._lo, self._hi):
            self._cuda.memset_d32(keys, 0, 2 * n_px)
        self._cuda.memset_d32(self._length, 0, n_px)

    def push(self, picture: Picture) -> None:
        """Take `picture` (H, W) into the window; the oldest frame leaves when the window is full."""
        if picture.shape != self.shape or picture.dtype != self.dtype:
            raise ValueError(f"a frame of {picture.shape} {picture.dtype} does not fit {self.shape} {self.dtype}")
        full = self.n_frames == self.n_window_frames
        place = int(self._frames) + self.next_slot * self._frame_bytes
        self._cuda.memcpy_dtod(self._old, place, self._frame_bytes)
        self._cuda.memcpy_htod(place, np.ascontiguousarray(picture))
        n_px = self.shape[0] * self.shape[1]
        numbers = (self.n_frames, int(full), self.next_slot, *self.shape, self._shift)
        self._advance(
            self._frames, self._old, *(np.int32(number) for number in numbers), self._lo, self._hi, self._length,
            block=(_THREADS, 1, 1), grid=(-(-n_px // _THREADS), 1),
        )  # fmt: skip
        self.n_frames += 0 if full else 1
        self.next_slot = (self.next_slot + 1) % self.n_window_frames

    def twice_median(self) -> NDArray[np.int32]:
        """Twice the median of each gradient, (2, H, W) int32; the outermost columns of x and rows of y are 0."""
        keys = np.empty((2, 2, *self.shape), np.int32)
        self._cuda.memcpy_dtoh(keys[0], self._lo)
        self._cuda.memcpy_dtoh(keys[1], self._hi)
        return np.asarray((keys >> self._shift).sum(axis=0), np.int32)

    def magnitude(self) -> NDArray[np.float32]:
        """Length of the median gradient vector, (H, W) float32."""
        length = np.empty(self.shape, np.float32)
        self._cuda.memcpy_dtoh(length, self._length)
        return length

    def close(self) -> None:
        """Give the device's memory and context back."""
        for memory in (self._frames, self._old, self._lo, self._hi, self._length):
            memory.free()
        self._context.pop()

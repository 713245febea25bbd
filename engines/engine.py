"""An engine: a loaded model on one backend, behind one protocol."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from schemas.errors import EngineFault, SetupError

log = logging.getLogger(__name__)
BACKENDS = ("onnxruntime", "openvino", "tensorrt")


class NonFiniteScores(EngineFault):
    """A frame whose score grid holds NaN or infinity: the model cannot judge it. `frames` are their places."""

    def __init__(self, backend: str, frames: tuple[int, ...]) -> None:
        super().__init__(f"{backend} gave scores that are not finite for frame(s) {list(frames)} of the batch")
        self.frames = frames


@runtime_checkable
class Engine(Protocol):
    """A loaded model. `infer` never writes to `batch` and may be called from one thread at a time."""

    @property
    def backend(self) -> str:
        """One of `BACKENDS`."""
        ...

    @property
    def precision(self) -> str:
        """Arithmetic of the engine, e.g. ``f32``."""
        ...

    @property
    def version(self) -> str:
        """Version of the backend's library."""
        ...

    @property
    def input_size_px(self) -> tuple[int, int]:
        """(W, H) of the frames `infer` takes."""
        ...

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Score a batch; a frame's scores do not depend on the others in it.

        Args: batch: (N, 3, H, W) uint8 RGB, N from 1 up. Returns: (N, 1, h, w) float32, finite.
        Raises: ValueError for another shape or type; EngineFault when the backend fails;
            NonFiniteScores when a score is NaN or infinite.
        """
        ...

    def close(self) -> None:
        """Give back memory and device; calling it again does nothing. `infer` then raises EngineFault."""
        ...


class CheckedEngine(ABC):
    """What every backend shares: input and output are checked once, here. Backends score one frame."""

    backend: str
    precision: str
    version: str

    def __init__(self, input_size_px: tuple[int, int]) -> None:
        self.input_size_px = input_size_px
        self._closed = False

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Engine.infer`. Frames are scored one by one, so a micro-batch cannot change a bit of a score."""
        width, height = self.input_size_px
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (3, height, width) or not len(batch):
            raise ValueError(
                f"{self.backend}: batch is {batch.dtype} {batch.shape}; this model takes uint8 (N, 3, {height}, "
                f"{width}) with N from 1 up"
            )
        if self._closed:
            raise EngineFault(f"{self.backend}: infer after close")
        frames = [self._infer_one(np.ascontiguousarray(batch[i : i + 1])) for i in range(len(batch))]
        grids = np.concatenate(frames) if len(frames) > 1 else frames[0]
        if grids.dtype != np.float32 or grids.ndim != 4 or grids.shape[:2] != (len(batch), 1):
            raise EngineFault(f"{self.backend}: the model gave {grids.dtype} {grids.shape}, not float32 (N, 1, h, w)")
        finite = np.isfinite(grids).all(axis=(1, 2, 3))
        if not finite.all():
            raise NonFiniteScores(self.backend, tuple(int(i) for i in np.flatnonzero(~finite)))
        return grids

    def close(self) -> None:
        """See `Engine.close`."""
        if not self._closed:
            self._closed = True
            self._release()

    @abstractmethod
    def _infer_one(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(1, 3, H, W) uint8, C-contiguous -> (1, 1, h, w) float32 owned by the caller."""

    @abstractmethod
    def _release(self) -> None:
        """Drop every handle."""


def load_engine(bundle: Bundle, backend: str = "auto", n_threads: int = 1, cache_dir: Path | None = None) -> Engine:
    """The bundle's model on `backend`; ``auto`` measures what is there and takes the fastest that agrees.

    Args: n_threads: CPU threads of the engine, from 1 up. cache_dir: where compiled engines and
        the choice are kept, None: nowhere.
    Raises: SetupError for an unknown or absent backend, or a model it cannot load.
    """
    if n_threads < 1:
        raise SetupError(f"engine threads {n_threads}: give a number from 1 up")
    if backend == "auto":
        from engines.backends.choose import choose_backend

        backend = choose_backend(bundle, n_threads, cache_dir=cache_dir).backend
    return load_backend(bundle, backend, n_threads, cache_dir)


def load_backend(bundle: Bundle, backend: str, n_threads: int = 1, cache_dir: Path | None = None) -> Engine:
    """The bundle's model on exactly `backend`. Raises: SetupError."""
    engine = _load(bundle, backend, n_threads, cache_dir)
    engine.precision = bundle.manifest.precision
    return engine


def _load(bundle: Bundle, backend: str, n_threads: int, cache_dir: Path | None) -> CheckedEngine:
    size_px = bundle.manifest.input_size_px
    if backend == "onnxruntime":
        from engines.backends.onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine.load(bundle.model, size_px, n_threads)
    if backend == "openvino":
        from engines.backends.openvino import OpenVinoEngine

        return OpenVinoEngine.load(bundle.model, size_px, n_threads, bundle.sha256, cache_dir)
    if backend == "tensorrt":
        if bundle.manifest.precision == "int8":
            raise SetupError(
                "the bundle's model is int8, counted from zero points, which TensorRT does not know: it runs on "
                "onnxruntime and openvino. For tensorrt train with --precision int8-symmetric, f16 or f32"
            )
        from engines.backends.tensorrt import TensorRtEngine

        return TensorRtEngine.load(bundle.model, size_px, bundle.sha256, cache_dir)
    raise SetupError(f"engine backend {backend!r} is unknown; use auto or one of {', '.join(BACKENDS)}")

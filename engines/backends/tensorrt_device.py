"""The NVIDIA GPU that TensorRT runs on: its libraries, and its context, made current around our own calls alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from schemas.errors import MissingExtra, SetupError


def has_device() -> bool:
    """Whether TensorRT, pycuda and a GPU are there."""
    try:
        Device.open().close()
    except SetupError:
        return False
    return True


class Device:
    """The first GPU, by its primary context. `trt`, `cuda`: the modules tensorrt and pycuda.driver."""

    def __init__(self, trt: Any, cuda: Any, context: Any, name: str) -> None:
        self.trt, self.cuda, self.name = trt, cuda, name
        self.logger = trt.Logger(trt.Logger.WARNING)
        self._context = context

    @classmethod
    def open(cls) -> Device:
        """Raises: MissingExtra; SetupError when there is no GPU or no driver."""
        try:
            import pycuda.driver as cuda
        except ImportError as exc:
            raise MissingExtra("pycuda", "gpu", "the TensorRT backend") from exc
        try:
            import tensorrt as trt
        except ImportError as exc:
            raise MissingExtra("tensorrt", "gpu", "the TensorRT backend") from exc
        try:
            cuda.init()
            device = cuda.Device(0)
            context = device.retain_primary_context()
        except cuda.Error as exc:
            raise SetupError(f"no CUDA device can be used: {exc}; check the driver with nvidia-smi") from exc
        major, minor = device.compute_capability()
        return cls(trt, cuda, context, f"{device.name()}-sm{major}{minor}")

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread for a while."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def close(self) -> None:
        """Release our hold on the primary context."""
        self._context.detach()

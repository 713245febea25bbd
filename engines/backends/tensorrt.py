"""TensorRT on an NVIDIA GPU, version 8.6 to 11: a plan built for this machine, tensors by name, pycuda for buffers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backends.plan_cache import PlanCache, PlanKey
from engines.engine import CheckedEngine
from schemas.errors import EngineFault, MissingExtra, SetupError

log = logging.getLogger(__name__)
WORKSPACE_BYTES = 1 << 30


class TensorRtEngine(CheckedEngine):
    """float32 without TF32, static shape of one frame, one stream of its own."""

    backend = "tensorrt"
    precision = "f32"

    def __init__(self, device: _Device, plan: bytes, input_size_px: tuple[int, int]) -> None:
        super().__init__(input_size_px)
        self.version = str(device.trt.__version__)
        self._device = device
        with device.current():
            self._runtime = device.trt.Runtime(device.logger)
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise SetupError(f"TensorRT {self.version} refused its plan; delete the plan cache and start again")
            self._context = self._engine.create_execution_context()
            self._stream = device.cuda.Stream()
            self._bind()

    @classmethod
    def load(
        cls, model: bytes, input_size_px: tuple[int, int], bundle_sha256: str, cache_dir: Path | None = None
    ) -> TensorRtEngine:
        """The engine of `model`, from the plan cache or built now (tens of seconds).

        Args: cache_dir: where plans are kept; None builds anew each time.
        Raises: MissingExtra without tensorrt or pycuda; SetupError without a GPU or for a model it cannot build.
        """
        device = _Device.open()
        key = PlanKey(bundle_sha256, cls.backend, device.name, str(device.trt.__version__))
        cache = PlanCache(cache_dir) if cache_dir is not None else None
        plan = cache.load(key) if cache is not None else None
        try:
            if plan is None:
                log.info("building a TensorRT plan for %s; this takes up to a minute, once", device.name)
                with device.current():
                    plan = _build_plan(device, model, input_size_px)
                if cache is not None:
                    cache.store(key, plan)
            return cls(device, plan, input_size_px)
        except BaseException:
            device.close()
            raise

    def _bind(self) -> None:
        """Allocate page-locked host and device buffers for the one input and the one output, and name them."""
        trt, cuda = self._device.trt, self._device.cuda
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        if len(inputs) != 1 or len(outputs) != 1:
            raise SetupError(f"model.onnx has inputs {inputs} and outputs {outputs}; a bundle's model has one of each")
        width, height = self.input_size_px
        if not self._context.set_input_shape(inputs[0], (1, 3, height, width)):
            raise SetupError(f"model.onnx does not take uint8 (1, 3, {height}, {width})")
        types = [np.dtype(trt.nptype(self._engine.get_tensor_dtype(name))) for name in (inputs[0], outputs[0])]
        if types != [np.dtype(np.uint8), np.dtype(np.float32)]:
            raise SetupError(f"model.onnx maps {types[0]} to {types[1]}; a bundle's model maps uint8 to float32")
        self._host_in = cuda.pagelocked_empty((1, 3, height, width), np.uint8)
        self._host_out = cuda.pagelocked_empty(tuple(self._context.get_tensor_shape(outputs[0])), np.float32)
        self._device_in, self._device_out = (cuda.mem_alloc(host.nbytes) for host in (self._host_in, self._host_out))
        self._context.set_tensor_address(inputs[0], int(self._device_in))
        self._context.set_tensor_address(outputs[0], int(self._device_out))

    def _infer_one(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        cuda = self._device.cuda
        with self._device.current():
            try:
                np.copyto(self._host_in, frame)
                cuda.memcpy_htod_async(self._device_in, self._host_in, self._stream)
                if not self._context.execute_async_v3(self._stream.handle):
                    raise EngineFault("TensorRT refused to run; see its messages in the log")
                cuda.memcpy_dtoh_async(self._host_out, self._device_out, self._stream)
                self._stream.synchronize()
            except cuda.Error as exc:
                raise EngineFault(f"TensorRT failed on {self._device.name}: {exc}") from exc
        return np.array(self._host_out)

    def _release(self) -> None:
        with self._device.current():
            self._device_in.free()
            self._device_out.free()
            self._host_in = self._host_out = None
            self._context = self._engine = self._stream = self._runtime = None
        self._device.close()


class _Device:
    """The first GPU: its primary context, made current only around our own calls."""

    def __init__(self, trt: Any, cuda: Any, context: Any, name: str) -> None:
        self.trt, self.cuda, self.name = trt, cuda, name
        self.logger = trt.Logger(trt.Logger.WARNING)
        self._context = context

    @classmethod
    def open(cls) -> _Device:
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


def _build_plan(device: _Device, model: bytes, input_size_px: tuple[int, int]) -> bytes:
    """A serialised plan. Raises: SetupError with the parser's or builder's words."""
    trt = device.trt
    builder = trt.Builder(device.logger)
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)  # implied from 10 on, gone later
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    parser = trt.OnnxParser(network, device.logger)
    if not parser.parse(model):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise SetupError(f"TensorRT {trt.__version__} cannot read model.onnx: {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)
    width, height = input_size_px
    shape = (1, 3, height, width)
    profile = builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, shape, shape, shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise SetupError(f"TensorRT {trt.__version__} could not build model.onnx on {device.name}; see its messages")
    return bytes(plan)

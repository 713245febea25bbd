"""A network on TensorRT, version 8.6 to 11: a plan built for this GPU, its tensors by name, batches of one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backends.plan_cache import PlanCache, PlanKey
from engines.backends.tensorrt_device import Device
from schemas.errors import EngineFault, SetupError

log = logging.getLogger(__name__)
WORKSPACE_BYTES = 1 << 30


class TensorRtNetwork:
    """A loaded plan with buffers and a stream of its own. float32 without TF32. Not for two threads at once.

    `inputs`, `outputs`: page-locked arrays by tensor name, of the shapes and types that `run` takes and gives.
    """

    def __init__(self, device: Device, plan: bytes) -> None:
        self.version = str(device.trt.__version__)
        self.inputs: dict[str, NDArray[Any]] = {}
        self.outputs: dict[str, NDArray[Any]] = {}
        self._device, self._memory = device, dict[str, Any]()
        with device.current():
            self._runtime = device.trt.Runtime(device.logger)
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise SetupError(f"TensorRT {self.version} refused its plan; delete the plan cache and start again")
            self._context = self._engine.create_execution_context()
            self._stream = device.cuda.Stream()
            self._bind()

    @classmethod
    def load(cls, model: bytes, sha256: str, cache_dir: Path | None = None) -> TensorRtNetwork:
        """The network of `model` (ONNX), from the plan cache or built now (tens of seconds).

        Args: sha256: what the plan is kept by. cache_dir: where plans are kept; None builds anew each time.
        Raises: MissingExtra without tensorrt or pycuda; SetupError without a GPU or for a model it cannot build.
        """
        device = Device.open()
        try:
            key = PlanKey(sha256, "tensorrt", device.name, str(device.trt.__version__))
            cache = PlanCache(cache_dir) if cache_dir is not None else None
            plan = cache.load(key) if cache is not None else None
            if plan is None:
                log.info("building a TensorRT plan for %s; this takes up to a minute, once", device.name)
                with device.current():
                    plan = _build_plan(device, model)
                if cache is not None:
                    cache.store(key, plan)
            return cls(device, plan)
        except BaseException:
            device.close()
            raise

    def run(self, given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every output by name, owned by the caller. Args: given: at least every input, of its shape and type.

        Raises: ValueError for another shape or type; EngineFault when TensorRT or the driver fails.
        """
        for name, host in self.inputs.items():
            if (given[name].shape, given[name].dtype) != (host.shape, host.dtype):
                raise ValueError(f"{name} is {given[name].dtype} {given[name].shape}, not {host.dtype} {host.shape}")
        cuda, stream = self._device.cuda, self._stream
        with self._device.current():
            try:
                for name, host in self.inputs.items():
                    np.copyto(host, given[name])
                    cuda.memcpy_htod_async(self._memory[name], host, stream)
                if not self._context.execute_async_v3(stream.handle):
                    raise EngineFault("TensorRT refused to run; see its messages in the log")
                for name, host in self.outputs.items():
                    cuda.memcpy_dtoh_async(host, self._memory[name], stream)
                stream.synchronize()
            except cuda.Error as exc:
                raise EngineFault(f"TensorRT failed on {self._device.name}: {exc}") from exc
        return {name: np.array(host) for name, host in self.outputs.items()}

    def close(self) -> None:
        """Give back memory and device; nothing may be run afterwards."""
        with self._device.current():
            for memory in self._memory.values():
                memory.free()
            self._memory, self.inputs, self.outputs = {}, {}, {}
            self._context = self._engine = self._stream = self._runtime = None
        self._device.close()

    def _bind(self) -> None:
        """Fix the shapes of the inputs, then allocate host and device buffers for every tensor and name them."""
        trt, engine = self._device.trt, self._engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        wanted = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        for name in wanted:
            shape = _one(engine.get_tensor_shape(name))
            if not self._context.set_input_shape(name, shape):
                raise SetupError(f"TensorRT {self.version} does not take {name} as {shape}; build its plan again")
        for name in (*wanted, *(name for name in names if name not in wanted)):
            host = self._device.cuda.pagelocked_empty(
                tuple(self._context.get_tensor_shape(name)), np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            )
            (self.inputs if name in wanted else self.outputs)[name] = host
            self._memory[name] = self._device.cuda.mem_alloc(host.nbytes)
            if not self._context.set_tensor_address(name, int(self._memory[name])):
                raise SetupError(f"TensorRT {self.version} does not take a buffer for {name}; see its messages")


def _one(shape: Any) -> tuple[int, ...]:
    """`shape` with 1 for what is open: the batch."""
    return tuple(1 if side < 0 else int(side) for side in shape)


def _build_plan(device: Device, model: bytes) -> bytes:
    """A serialised plan. Raises: SetupError with the parser's or builder's words."""
    trt = device.trt
    builder = trt.Builder(device.logger)
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)  # ignored in 10, gone in 11
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    parser = trt.OnnxParser(network, device.logger)
    if not parser.parse(model):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise SetupError(f"TensorRT {trt.__version__} cannot read model.onnx: {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        shape = _one(network.get_input(i).shape)
        profile.set_shape(network.get_input(i).name, shape, shape, shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise SetupError(f"TensorRT {trt.__version__} could not build model.onnx on {device.name}; see its messages")
    return bytes(plan)

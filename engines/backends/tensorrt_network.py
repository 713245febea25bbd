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
from engines.backends.tensorrt_plan import build_plan, check_types, one
from schemas.errors import EngineFault, SetupError

log = logging.getLogger(__name__)


class TensorRtNetwork:
    """A loaded plan with buffers and a stream of its own, in the graph's types. Not for two threads at once.

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
        check_types(model)
        device = Device.open()
        try:
            key = PlanKey(sha256, "tensorrt", device.name, str(device.trt.__version__))
            cache = PlanCache(cache_dir) if cache_dir is not None else None
            plan = cache.load(key) if cache is not None else None
            if plan is None:
                log.info("building a TensorRT plan for %s; this takes up to a minute, once", device.name)
                with device.current():
                    plan = build_plan(device, model)
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
            shape = one(engine.get_tensor_shape(name))
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

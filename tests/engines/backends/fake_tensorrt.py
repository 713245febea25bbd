"""Stand-ins for tensorrt and pycuda.driver that run a plan by ONNX Runtime, for machines without a GPU.

They have the calls that NVIDIA documents for 8.6 to 11 and no others; flags are those that the modules of these
versions have. Device memory is apart from the host's, work waits for its stream, and nothing works outside a current
context. What is refused is what NVIDIA's parser refuses, and a network of types that it was not built for is not built.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from tests.engines.backends.fake_tensorrt_graph import Graph

_TYPES = {onnx.TensorProto.UINT8: np.uint8, onnx.TensorProto.FLOAT: np.float32}
_PLAN = b"plan of "


@dataclass
class Gpu:
    """What is allocated and current; `version` and flags are those of the TensorRT that is stood in for."""

    version: str = "10.9.0"
    flags: dict[str, int] = field(default_factory=lambda: {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1})
    builder_flags: tuple[str, ...] = ("TF32", "FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS")
    allowed: set[str] = field(default_factory=set)
    memory: dict[int, bytearray] = field(default_factory=dict)
    depth: int = 0
    n_held: int = 0
    n_built: int = 0

    def allocate(self, n_bytes: int) -> _Allocation:
        address = 4096 * (1 + max((each // 4096 for each in self.memory), default=0)) + 4096 * (n_bytes // 4096)
        self.memory[address] = bytearray(n_bytes)
        return _Allocation(self, address)

    def view(self, address: int) -> NDArray[np.uint8]:
        assert self.depth > 0, "no context is current"
        return np.frombuffer(self.memory[address], np.uint8)


@dataclass
class _Allocation:
    gpu: Gpu
    address: int

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        assert self.gpu.depth > 0, "no context is current"
        del self.gpu.memory[self.address]


class _Stream:
    handle = 7
    waiting: list[Callable[[], None]] = []  # noqa: RUF012  one stream at a time is enough here

    def synchronize(self) -> None:
        for work in self.waiting:
            work()
        self.waiting.clear()


class _Tensors:
    """Inputs and outputs of an ONNX model, with -1 for an open side."""

    def __init__(self, model: bytes) -> None:
        graph = onnx.load_from_string(model).graph
        self.inputs, self.outputs = ([each.name for each in part] for part in (graph.input, graph.output))
        kinds = {each.name: each.type.tensor_type for each in (*graph.input, *graph.output)}
        self.dtypes = {name: _TYPES[kind.elem_type] for name, kind in kinds.items()}
        self.shapes = {
            name: tuple(side.dim_value if side.HasField("dim_value") else -1 for side in kind.shape.dim)
            for name, kind in kinds.items()
        }


class _Context:
    def __init__(self, gpu: Gpu, model: bytes, tensors: _Tensors) -> None:
        self._gpu, self._tensors, self._given = gpu, tensors, dict[str, tuple[int, ...]]()
        self._addresses: dict[str, int] = {}
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._given[name] = shape
        return all(own in (-1, side) for own, side in zip(self._tensors.shapes[name], shape, strict=True))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert set(self._given) == set(self._tensors.inputs), "an input has no shape yet"
        return self._given.get(name, tuple(abs(side) for side in self._tensors.shapes[name]))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in self._tensors.shapes

    def execute_async_v3(self, handle: int) -> bool:
        assert handle == _Stream.handle
        assert set(self._addresses) == set(self._tensors.shapes), "a tensor has no buffer"
        _Stream.waiting.append(self._execute)
        return True

    def _execute(self) -> None:
        given = {}
        for name in self._tensors.inputs:
            flat = self._gpu.view(self._addresses[name]).view(self._tensors.dtypes[name])
            given[name] = flat.reshape(self.get_tensor_shape(name)).copy()
        for name, value in zip(self._tensors.outputs, self._session.run(self._tensors.outputs, given), strict=True):
            self._gpu.view(self._addresses[name])[:] = np.frombuffer(value.tobytes(), np.uint8)


class _Engine:
    def __init__(self, gpu: Gpu, model: bytes) -> None:
        self._gpu, self._model, self._tensors = gpu, model, _Tensors(model)
        self.num_io_tensors = len(self._tensors.shapes)
        self.get_tensor_name = list(self._tensors.shapes).__getitem__
        self.get_tensor_shape = self._tensors.shapes.__getitem__
        self.get_tensor_dtype = self._tensors.dtypes.__getitem__

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name in self._tensors.inputs else "output"

    def create_execution_context(self) -> _Context:
        return _Context(self._gpu, self._model, self._tensors)


def install(patch: pytest.MonkeyPatch, gpu: Gpu) -> None:
    """Have `import tensorrt` and `import pycuda.driver` find the stand-ins of `gpu`."""
    package, driver, trt = ModuleType("pycuda"), ModuleType("pycuda.driver"), ModuleType("tensorrt")
    package.__dict__["driver"] = driver
    driver.__dict__.update(_driver(gpu))
    trt.__dict__.update(_tensorrt(gpu))
    for module in (package, driver, trt):
        patch.setitem(sys.modules, module.__name__, module)


def _driver(gpu: Gpu) -> dict[str, Any]:
    def move(by: int) -> None:
        gpu.depth += by

    def hold() -> SimpleNamespace:
        gpu.n_held += 1
        return SimpleNamespace(push=lambda: move(1), pop=lambda: move(-1), detach=detach)

    def detach() -> None:
        gpu.n_held -= 1

    def upload(memory: _Allocation, host: NDArray[Any], stream: _Stream) -> None:
        stream.waiting.append(lambda: gpu.view(int(memory)).__setitem__(slice(None), host.reshape(-1).view(np.uint8)))

    def download(host: NDArray[Any], memory: _Allocation, stream: _Stream) -> None:
        stream.waiting.append(lambda: np.copyto(host.reshape(-1).view(np.uint8), gpu.view(int(memory))))

    device = SimpleNamespace(
        retain_primary_context=hold, compute_capability=lambda: (9, 0), name=lambda: "Stand-in 9000"
    )
    return {
        "Error": type("Error", (Exception,), {}),
        "init": lambda: None,
        "Device": lambda index: device,
        "Stream": _Stream,
        "pagelocked_empty": np.empty,
        "mem_alloc": gpu.allocate,
        "memcpy_htod_async": upload,
        "memcpy_dtoh_async": download,
    }


def _tensorrt(gpu: Gpu) -> dict[str, Any]:
    strong = "STRONGLY_TYPED" in gpu.flags

    def parser(network: SimpleNamespace, logger: object) -> SimpleNamespace:
        said = ["no ONNX model"]

        def parse(model: bytes) -> bool:
            try:
                tensors = _Tensors(model)
            except Exception:  # protobuf's own class
                return False
            network.graph = Graph(model)
            said[0] = network.graph.error()
            if not strong:
                network.num_layers, network.get_layer = len(network.graph.layers), network.graph.layers.__getitem__
            network.model, network.num_inputs = model, len(tensors.inputs)
            network.get_input = lambda i: SimpleNamespace(
                name=tensors.inputs[i], shape=tensors.shapes[tensors.inputs[i]]
            )
            return not said[0]

        return SimpleNamespace(parse=parse, num_errors=1, get_error=said.__getitem__)

    def network(flags: int) -> SimpleNamespace:
        assert flags == sum(1 << bit for bit in gpu.flags.values())
        return SimpleNamespace()

    def keeps_types(graph: Graph) -> bool:
        """Whether the builder's flags give every layer the graph's type, and none is set that strong types forbid."""
        if strong:
            return not gpu.allowed
        tied = all(each.precision == each.get_output(0).dtype for each in graph.layers if each.of_floats)
        return graph.needs() <= gpu.allowed and ("FP16" not in gpu.allowed or (tied and len(gpu.allowed) > 1))

    def build(network: SimpleNamespace, config: SimpleNamespace) -> bytes | None:
        assert gpu.depth > 0, "no context is current"
        gpu.n_built += 1
        known = {shape[0]: shape[1:] for shape in config.profile.shapes}
        names = [network.get_input(i).name for i in range(network.num_inputs)]
        if not keeps_types(network.graph):
            return None
        return _PLAN + network.model if all(len(set(known.get(name, ()))) == 1 for name in names) else None

    def profile() -> SimpleNamespace:
        shapes: list[Any] = []
        return SimpleNamespace(shapes=shapes, set_shape=lambda *given: shapes.append(given))

    def config() -> SimpleNamespace:
        gpu.allowed.clear()
        made = SimpleNamespace(set_memory_pool_limit=lambda pool, n: None, clear_flag=lambda flag: None)
        made.set_flag = gpu.allowed.add
        made.add_optimization_profile = lambda profile: setattr(made, "profile", profile)
        return made

    def load(plan: bytes) -> _Engine | None:
        return _Engine(gpu, plan.removeprefix(_PLAN)) if plan.startswith(_PLAN) else None

    return {
        "__version__": gpu.version,
        "Logger": type("Logger", (), {"WARNING": 1, "__init__": lambda self, level: None}),
        "TensorIOMode": SimpleNamespace(INPUT="input", OUTPUT="output"),
        "NetworkDefinitionCreationFlag": SimpleNamespace(**gpu.flags),
        "MemoryPoolType": SimpleNamespace(WORKSPACE=0),
        "BuilderFlag": SimpleNamespace(**{name: name for name in gpu.builder_flags}),
        "LayerType": SimpleNamespace(CAST="Cast"),
        "float32": "float32",
        "float16": "float16",
        "nptype": lambda dtype: dtype,
        "OnnxParser": parser,
        "Runtime": lambda logger: SimpleNamespace(deserialize_cuda_engine=load),
        "Builder": lambda logger: SimpleNamespace(
            create_network=network,
            create_builder_config=config,
            create_optimization_profile=profile,
            build_serialized_network=build,
        ),
    }

"""A TensorRT plan from an ONNX graph, which alone says what is computed in float32, in float16 and on 8 bits.

Networks are strongly typed: TensorRT then computes every layer in the graph's own types. Where it knows no such thing,
before 10, flags allow what the graph has, and every layer is held to its type.
"""

from __future__ import annotations

from typing import Any

from engines.backends.tensorrt_device import Device
from engines.backends.tensorrt_types import GraphTypes
from schemas.errors import SetupError

WORKSPACE_BYTES = 1 << 30


def check_types(model: bytes) -> None:
    """Raises: SetupError for a `model` (ONNX) that TensorRT does not know; needs no GPU to say so."""
    types = GraphTypes.of(model)
    if types is not None and types.refusal:
        raise SetupError(
            f"TensorRT does not run this model.onnx: {types.refusal}. As it is, it runs on onnxruntime and openvino"
        )


def build_plan(device: Device, model: bytes) -> bytes:
    """A serialised plan of `model` (ONNX), batches of one. Raises: SetupError with the parser's or builder's words."""
    trt = device.trt
    builder = trt.Builder(device.logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, device.logger)
    if not parser.parse(model):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise SetupError(f"TensorRT {trt.__version__} cannot read model.onnx: {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)
    if not _is_strongly_typed(trt):
        _hold_to_types(trt, network, config, GraphTypes.of(model))
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        shape = one(network.get_input(i).shape)
        profile.set_shape(network.get_input(i).name, shape, shape, shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise SetupError(f"TensorRT {trt.__version__} could not build model.onnx on {device.name}; see its messages")
    return bytes(plan)


def one(shape: Any) -> tuple[int, ...]:
    """`shape` with 1 for what is open: the batch."""
    return tuple(1 if side < 0 else int(side) for side in shape)


def _is_strongly_typed(trt: Any) -> bool:
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def _network_flags(trt: Any) -> int:
    """Explicit batches, which 10 ignores and 11 does not know, and strong types, which 8.6 does not know."""
    known = trt.NetworkDefinitionCreationFlag
    return sum(1 << int(getattr(known, name)) for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if hasattr(known, name))


def _hold_to_types(trt: Any, network: Any, config: Any, types: GraphTypes | None) -> None:
    """Allow the types that the graph has; with float16, tie every layer to its own, for TensorRT would spread it."""
    if types is None:
        return
    if types.rounded:
        config.set_flag(trt.BuilderFlag.INT8)
    if not types.half_nodes:
        return
    config.set_flag(trt.BuilderFlag.FP16)
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    floats = (trt.float32, trt.float16)
    for layer in (network.get_layer(i) for i in range(network.num_layers)):
        if layer.type != trt.LayerType.CAST and layer.get_output(0).dtype in floats:
            layer.precision = trt.float16 if layer.name in types.half_nodes else trt.float32

"""NVIDIA's own parser and builder take every graph, where `tensorrt_rtx` is installed: it builds for GPUs not there.

TensorRT for RTX has the interface of TensorRT 11 and needs no GPU to build a plan; to run one it does.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from engines.backbone import in_precision
from engines.backends.tensorrt_device import Device
from engines.backends.tensorrt_plan import build_plan, check_types
from engines.imm import ImmGeometry, initial_weights
from engines.imm_graph import build_imm
from engines.oanet_graph import oanet_graph
from engines.oanet_training import OanetSettings
from engines.onnx_graph import GraphBuilder
from engines.precision import Precision
from schemas.errors import SetupError
from tests.engines import oanet_parts
from tests.engines.backends.level_models import every_kind_of_layer, level_models
from tests.engines.exported import pictures
from tests.engines.test_imm import SIZE, template
from tests.pipeline.precise_plates import plate_bundle

rtx: Any = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed: pip install tensorrt-rtx")
FOR_TENSORRT: tuple[Precision, ...] = ("f32", "f16", "int8-symmetric")
GPUS = ("SM80", "SM89", "SM120")
"""Ampere, Ada and Blackwell; for Turing it builds no products in float32."""


class Builder:
    """A builder for GPUs of one kind, whether there is one or not."""

    def __init__(self, logger: Any, kind: str) -> None:
        self._builder, self._kind = rtx.Builder(logger), kind

    def create_builder_config(self) -> Any:
        config = self._builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(rtx.ComputeCapability, self._kind), 0)
        return config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)


def device(kind: str = "SM89") -> Device:
    """NVIDIA's module as `build_plan` wants it, without a GPU."""
    module = {name: getattr(rtx, name) for name in dir(rtx) if not name.startswith("__")}
    module |= {"__version__": rtx.__version__, "Builder": lambda logger: Builder(logger, kind)}
    return Device(SimpleNamespace(**module), None, None, f"a GPU of {kind}")


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("precision", FOR_TENSORRT)
def test_every_kind_of_layer_is_built_in_every_precision(precision: Precision, gpu: str) -> None:
    for made in level_models(in_precision(every_kind_of_layer(), precision, list(pictures(3, 96, 64))), (96, 64)):
        check_types(made)
        assert len(build_plan(device(gpu), made)) > len(made)


@pytest.mark.parametrize("precision", FOR_TENSORRT)
def test_a_whole_bundles_model_is_built(precision: Precision, tmp_path: Any) -> None:
    made = plate_bundle(tmp_path, precision).model
    check_types(made)
    assert build_plan(device(), made)


def test_the_matching_and_the_fused_network_are_built() -> None:
    net = oanet_parts.trained(oanet_parts.lessons(n=24), OanetSettings(n_epochs=1, refine_epochs=1)).network()
    for made in (build_imm(template(), initial_weights(ImmGeometry.of(SIZE), 3)), oanet_graph(net)):
        check_types(made)
        assert build_plan(device(), made)


def scoring(steps: str, *, ranked: int = 0) -> bytes:
    """A graph that gives grey levels: sliced as uint8, rounded from a zero point, or with the `ranked` lowest taken."""
    graph = GraphBuilder()

    def whole(*values: int) -> str:
        return graph.constant(np.array(values, np.int64))

    value = graph.add("Slice", ["picture", whole(0), whole(128), whole(2)]) if steps == "sliced" else "picture"
    value = graph.add("ReduceMean", [graph.add("Cast", [value], to=1)], axes=[1], keepdims=1)
    if steps == "rounded":
        one, zero = graph.constant(np.array(1, np.float32)), graph.constant(np.array(4, np.int8))
        value = graph.add("DequantizeLinear", [graph.add("QuantizeLinear", [value, one, zero]), one, zero])
    if ranked:
        value = graph.add("Reshape", [value, whole(0, 1, 128 * 128)])
        lowest, _ = graph.add_two("TopK", [value, whole(ranked)], largest=0)
        value = graph.add("Sub", [value, graph.add("ReduceMax", [lowest], axes=[2], keepdims=1)])
        value = graph.add("Reshape", [value, whole(0, 1, 128, 128)])
    return graph.build(
        {"picture": (onnx.TensorProto.UINT8, ["n", 3, 128, 128])}, {"scores": (value, ["n", 1, 128, 128])}
    )


@pytest.mark.parametrize("made", [scoring("sliced"), scoring("rounded"), scoring("", ranked=3841)])
def test_what_is_refused_beforehand_nvidia_refuses_too(made: bytes) -> None:
    with pytest.raises(SetupError, match="TensorRT does not run this"):
        check_types(made)
    with pytest.raises(SetupError, match=r"cannot read model\.onnx|could not build model\.onnx"):
        build_plan(device(), made)


def test_as_many_places_are_ranked_as_it_says() -> None:
    made = scoring("", ranked=3840)
    check_types(made)
    assert build_plan(device(), made)

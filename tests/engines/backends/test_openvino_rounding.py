"""OpenVINO rounds an int8 model where ONNX Runtime does, to the bit; one it would round elsewhere is refused."""

from __future__ import annotations

import platform

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from engines.backbone import (
    Backbone,
    BackboneSpec,
    Conv,
    Level,
    MaxPool,
    add_backbone,
    quantised,
)
from engines.backbone_student import load_student
from engines.backends.onnxruntime import OnnxRuntimeEngine
from engines.backends.openvino import OpenVinoEngine
from engines.features import add_place_features
from engines.onnx_graph import GraphBuilder
from schemas.errors import SetupError
from tests.engines.exported import pictures

WIDTH, HEIGHT = 96, 64


def every_kind_of_layer() -> Backbone:
    """Pooling, a residual as it is, one through a convolution, and levels that others read on; weights at random."""
    spec = BackboneSpec(
        "small",
        (
            Conv("stem", "input", "stem", 7, 2),
            MaxPool("pool", "stem"),
            Conv("a.inner", "pool", "a.inner", 3),
            Conv("a", "a.inner", "a", 3, residual="pool"),
            Conv("b.shortcut", "a", "b.shortcut", 1, 2, relu=False),
            Conv("b.inner", "a", "b.inner", 3, 2),
            Conv("b", "b.inner", "b", 3, residual="b.shortcut", relu=False),
            Conv("c", "b", "c", 3, 2, relu=False),
        ),
        (Level("a", 16, 4), Level("b", 24, 8), Level("c", 24, 16)),
    )
    rng, channels = np.random.default_rng(5), {"input": 3, "pool": 16, "stem": 16, "a.inner": 16, "a": 16}
    weights: dict[str, NDArray[np.float32]] = {}
    for layer in spec.layers:
        if isinstance(layer, Conv):
            before, after = channels[layer.source], channels.setdefault(layer.output, 24)
            spread = (2 / (before * layer.kernel**2)) ** 0.5
            kernel = rng.normal(0, spread, (after, before, layer.kernel, layer.kernel))
            weights[f"{layer.weights}.weight"] = kernel.astype(np.float32)
            weights[f"{layer.weights}.bias"] = rng.normal(0, 0.3, after).astype(np.float32)
    return Backbone(spec, weights)


def level_models(backbone: Backbone) -> list[bytes]:
    """For every level of `backbone` a model of the bundle contract whose scores are all its channels, one by one."""
    models = []
    for level in backbone.spec.levels:
        graph = GraphBuilder()
        value = add_backbone(graph, backbone, "picture")[level.name]
        rows, columns = HEIGHT // level.stride_px, WIDTH // level.stride_px
        flat = graph.add("Reshape", [value, graph.constant(np.array([0, 1, level.channels * rows, columns], np.int64))])
        models.append(
            graph.build(
                {"picture": (onnx.TensorProto.UINT8, ["n", 3, HEIGHT, WIDTH])},
                {"scores": (flat, ["n", 1, level.channels * rows, columns])},
            )
        )
    return models


@pytest.mark.parametrize("backbone", [load_student(), every_kind_of_layer()], ids=["student", "every kind of layer"])
def test_levels_are_those_of_onnx_runtime_to_the_bit(backbone: Backbone) -> None:
    shown = pictures(6, WIDTH, HEIGHT)
    unseen = np.concatenate([255 - shown[:2], np.random.default_rng(2).integers(0, 256, shown.shape, np.uint8)])
    for model in level_models(quantised(backbone, list(shown[:3]))):
        reference = OnnxRuntimeEngine.load(model, (WIDTH, HEIGHT)).infer(unseen)
        assert len(np.unique(reference)) > 50
        np.testing.assert_array_equal(OpenVinoEngine.load(model, (WIDTH, HEIGHT)).infer(unseen), reference)


def test_means_of_a_fine_level_are_not_rounded() -> None:
    shown = pictures(4, WIDTH, HEIGHT)
    backbone = quantised(every_kind_of_layer(), list(shown))
    graph = GraphBuilder()
    projection = np.random.default_rng(3).normal(0, 0.2, (20, backbone.spec.channels)).astype(np.float32)
    places = add_place_features(graph, backbone, "picture", (WIDTH, HEIGHT), projection)
    scores = graph.add("Unsqueeze", [places, graph.constant(np.array([1], np.int64))])
    model = graph.build(
        {"picture": (onnx.TensorProto.UINT8, ["n", 3, HEIGHT, WIDTH])}, {"scores": (scores, ["n", 1, "p", 20])}
    )
    reference = OnnxRuntimeEngine.load(model, (WIDTH, HEIGHT)).infer(shown)
    np.testing.assert_allclose(OpenVinoEngine.load(model, (WIDTH, HEIGHT)).infer(shown), reference, rtol=0, atol=1e-4)


def rounded_by(step: float) -> bytes:
    """A model of the bundle contract that rounds brightness to multiples of `step`."""
    graph = GraphBuilder()
    scale, zero = graph.constant(np.array(step, np.float32)), graph.constant(np.array(0, np.uint8))
    value = graph.add("ReduceMean", [graph.add("Cast", ["picture"], to=1)], axes=[1], keepdims=1)
    value = graph.add("DequantizeLinear", [graph.add("QuantizeLinear", [value, scale, zero]), scale, zero])
    return graph.build(
        {"picture": (onnx.TensorProto.UINT8, ["n", 3, HEIGHT, WIDTH])}, {"scores": (value, ["n", 1, HEIGHT, WIDTH])}
    )


def test_a_model_that_does_not_count_in_steps_is_refused_and_runs_on_onnx_runtime() -> None:
    shown = pictures(1, WIDTH, HEIGHT)
    OnnxRuntimeEngine.load(rounded_by(1.7), (WIDTH, HEIGHT)).infer(shown)
    with pytest.raises(SetupError, match="runs on onnxruntime; train it again for openvino"):
        OpenVinoEngine.load(rounded_by(1.7), (WIDTH, HEIGHT))
    OpenVinoEngine.load(rounded_by(1.0), (WIDTH, HEIGHT)).infer(shown)


def test_eight_bits_are_refused_on_processors_they_were_not_tried_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(SetupError, match="x86-64 alone, this is aarch64"):
        OpenVinoEngine.load(rounded_by(1.0), (WIDTH, HEIGHT))

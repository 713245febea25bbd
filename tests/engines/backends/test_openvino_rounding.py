"""OpenVINO rounds an int8 model where ONNX Runtime does, to the bit; one it would round elsewhere is refused."""

from __future__ import annotations

import platform

import numpy as np
import onnx
import pytest

from engines.backbone import Backbone, in_precision, quantised
from engines.backbone_student import load_student
from engines.backends.onnxruntime import OnnxRuntimeEngine
from engines.backends.openvino import OpenVinoEngine
from engines.features import add_place_features
from engines.onnx_graph import GraphBuilder
from engines.precision import Precision
from schemas.errors import SetupError
from tests.engines.backends.level_models import every_kind_of_layer, level_models
from tests.engines.exported import pictures

WIDTH, HEIGHT = 96, 64


@pytest.mark.parametrize("precision", ["int8", "int8-symmetric"])
@pytest.mark.parametrize("backbone", [load_student(), every_kind_of_layer()], ids=["student", "every kind of layer"])
def test_levels_are_those_of_onnx_runtime_to_the_bit(backbone: Backbone, precision: Precision) -> None:
    shown = pictures(6, WIDTH, HEIGHT)
    unseen = np.concatenate([255 - shown[:2], np.random.default_rng(2).integers(0, 256, shown.shape, np.uint8)])
    for model in level_models(in_precision(backbone, precision, list(shown[:3])), (WIDTH, HEIGHT)):
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

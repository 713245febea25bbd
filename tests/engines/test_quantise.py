"""Eight bits: what rounding does to features and scores stays small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from engines.backbone import Backbone, in_precision, quantised
from engines.backbone_student import load_student
from engines.engine import load_backend
from engines.features import FeatureExtractor
from engines.onnx_graph import GraphBuilder
from engines.precision import Precision
from engines.quantise import Range, Steps, SumSteps, add_rounded_weights, exact_weights
from schemas.errors import SetupError
from tests.engines.backends.level_models import every_kind_of_layer, level_models
from tests.engines.backends.small_model import small_bundle
from tests.engines.exported import pictures


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (-1.0, 2.0), (-4.0, 0.0), (0.0, 0.0), (-1.0, 0.01)])
def test_nothing_is_rounded_to_nothing_and_halves_fall_alike(low: float, high: float) -> None:
    steps = Steps.covering(Range(low, high))
    assert 0 <= steps.zero_point <= 255 and steps.zero_point % 2 == 0
    ends = np.round(np.array([low, 0.0, high]) / steps.scale) + steps.zero_point
    assert ends[1] == steps.zero_point
    assert ends.min() >= -1 and ends.max() <= 256


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (-1.0, 2.0), (-4.0, 0.0), (0.0, 0.0)])
def test_signed_steps_lie_around_zero(low: float, high: float) -> None:
    steps = Steps.covering(Range(low, high), signed=True)
    assert steps.zero_point == 0 and steps.zero.dtype == np.dtype(np.int8)
    assert np.abs(np.array([low, high]) / steps.scale).max() <= 127 + 1e-9
    assert SumSteps.covering(Range(0.0, 4.1), Range(low, 1.7), steps).total.signed


def test_a_sum_covers_its_ranges_and_is_never_near_a_half() -> None:
    second = Steps(0.0123, 92)
    sums = SumSteps.covering(Range(0.0, 4.1), Range(-2.2, 1.7), second)
    assert sums.total.scale >= 4.1 / 255 and sums.first.scale >= 3.9 / 255
    assert sums.total.scale < 1.02 * 4.1 / 255 and sums.first.scale < 1.02 * 3.9 / 255
    assert second.scale / sums.total.scale == pytest.approx(sums.n_second / 255, rel=1e-12)
    assert sums.first.scale / sums.total.scale == pytest.approx(sums.n_first / 255, rel=1e-12)
    steps = np.arange(-255, 256)
    totals = steps[:, None] * sums.n_first / 255 + steps * sums.n_second / 255
    assert np.abs(totals % 1 - 0.5).min() > 1 / 511


@pytest.mark.parametrize(("precision", "most"), [("int8", 0.15), ("int8-symmetric", 0.15), ("f16", 1e-3)])
def test_features_are_nearly_those_in_float32(precision: Precision, most: float) -> None:
    plain, shown = load_student(), pictures(6, 64, 64)
    rounded = in_precision(plain, precision, list(shown))
    assert (plain.precision, rounded.precision) == ("f32", precision)
    before, after = (FeatureExtractor(each, (64, 64)).features(shown) for each in (plain, rounded))
    assert np.array_equal(before, after) == (precision == "f16")  # the student's weights are float16 as they ship
    assert np.sqrt(np.square(after - before).mean()) < most * before.std()


@pytest.mark.parametrize("backbone", [load_student(), every_kind_of_layer()], ids=["student", "every kind of layer"])
def test_around_zero_integers_and_float32_give_the_same_bits(backbone: Backbone) -> None:
    shown = np.random.default_rng(3).integers(0, 256, (4, 3, 64, 96), np.uint8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for model in level_models(in_precision(backbone, "int8-symmetric", list(pictures(3, 96, 64))), (96, 64)):
        plain, fused = (
            onnxruntime.InferenceSession(model, each, providers=["CPUExecutionProvider"]).run(None, {"picture": shown})[
                0
            ]
            for each in (options, onnxruntime.SessionOptions())
        )
        np.testing.assert_array_equal(plain, fused)


def test_sums_of_whole_pixels_are_without_loss_in_any_order() -> None:
    rng = np.random.default_rng(4)
    kernel, bias = rng.normal(0, 0.7, (8, 3, 7, 7)).astype(np.float32), rng.normal(0, 9, 8).astype(np.float32)
    weights, shifts = exact_weights(kernel, bias, 140)
    assert np.abs(weights - kernel).max() < 2e-3 and np.abs(shifts - bias).max() < 2e-3
    pixels = rng.choice([-115, 140], (1000, 8, 147)).astype(np.float32)
    terms = np.concatenate([pixels * weights.reshape(8, -1), np.broadcast_to(shifts[:, None], (1000, 8, 1))], 2)
    exact = terms.astype(np.float64).sum(2)
    for order in (terms, terms[:, :, ::-1], terms[:, :, rng.permutation(148)]):
        np.testing.assert_array_equal(np.cumsum(order, 2, dtype=np.float32)[:, :, -1], exact)


def test_ranges_need_pictures_and_come_out_the_same_again() -> None:
    plain, shown = load_student(), list(pictures(2, 64, 64))
    assert quantised(plain, shown).ranges == quantised(quantised(plain, shown), shown).ranges
    with pytest.raises((ValueError, IndexError)):
        quantised(plain, [])


def rounded_weights(kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> list[NDArray[Any]]:
    """Steps of weights, their factors, steps of the bias, as the graph holds them, between ranges -1..1 and 0..3."""
    graph = GraphBuilder()
    names = add_rounded_weights(graph, kernel, bias, Steps.covering(Range(-1.0, 1.0)), Steps.covering(Range(0.0, 3.0)))
    shapes: dict[str, tuple[str, list[int | str]]] = {
        "kernel": (names[0], list(kernel.shape)),
        "bias": (names[1], [len(bias)]),
    }
    model = onnx.load_from_string(graph.build({}, shapes))
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    kernel_node, bias_node = (node for node in model.graph.node if node.op_type == "DequantizeLinear")
    return [held[kernel_node.input[0]], held[kernel_node.input[1]], held[bias_node.input[0]]]


def test_rounded_weights_keep_every_channel_within_half_a_step() -> None:
    kernel = np.random.default_rng(0).normal(0, [[[[1.0]]], [[[0.01]]]], (2, 3, 3, 3)).astype(np.float32)
    bias = np.array([0.7, -0.02], np.float32)
    steps, factor, whole = rounded_weights(kernel, bias)
    unit = (2 / 255) / (3 / 255)
    largest = np.abs(kernel).reshape(2, -1).max(1) * unit
    assert (factor >= largest / 63).all() and (factor < 1.1 * largest / 63 + 2.0**-15).all()
    assert (np.abs(steps * factor[:, None, None, None] - kernel * unit) <= factor[:, None, None, None] / 2 + 1e-7).all()
    assert (np.abs(whole * factor - bias / (3 / 255)) <= factor / 2 + 1e-5).all()


def test_products_with_a_factor_are_float32_without_loss() -> None:
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(0, 0.3, (16, 8, 3, 3)).astype(np.float32), rng.normal(0, 2, 16).astype(np.float32)
    _, factor, whole = rounded_weights(kernel, bias)
    most = ((256 + np.abs(bias) / (3 / 255)) / factor).astype(np.int64)
    sums = rng.integers(-most, most, (1000, 16))
    assert (sums.astype(np.float32) * factor == sums * factor.astype(np.float64)).all()
    assert (whole.astype(np.float32) * factor == whole * factor.astype(np.float64)).all()


def test_an_engine_states_its_arithmetic_and_tensorrt_refuses_eight_bits() -> None:
    bundle = small_bundle()
    rounded = replace(bundle, manifest=bundle.manifest.model_copy(update={"precision": "int8"}))
    for backend in ("onnxruntime", "openvino"):
        engine = load_backend(rounded, backend)
        assert engine.precision == "int8"
        engine.close()
    with pytest.raises(SetupError, match="For tensorrt train with --precision int8-symmetric, f16 or f32"):
        load_backend(rounded, "tensorrt")

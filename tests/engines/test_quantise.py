"""Eight bits: what rounding does to features and scores stays small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engines.backbone import quantised
from engines.backbone_student import load_student
from engines.engine import load_backend
from engines.features import FeatureExtractor
from engines.quantise import Range, add_rounded_kernel, add_rounding
from schemas.errors import SetupError
from tests.engines.backends.small_model import small_bundle
from tests.engines.exported import pictures


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (-1.0, 2.0), (-4.0, 0.0), (0.0, 0.0)])
def test_nothing_is_rounded_to_nothing(low: float, high: float) -> None:
    span = Range(low, high)
    assert 0 <= span.zero_point <= 255
    steps = np.round(np.array([low, 0.0, high]) / span.scale) + span.zero_point
    assert steps[1] == span.zero_point
    assert steps.min() >= -1 and steps.max() <= 256


def test_features_on_eight_bits_are_nearly_those_in_float32() -> None:
    plain, shown = load_student(), pictures(6, 64, 64)
    rounded = quantised(plain, list(shown))
    assert (plain.precision, rounded.precision) == ("f32", "int8")
    before, after = (FeatureExtractor(each, (64, 64)).features(shown) for each in (plain, rounded))
    assert not np.array_equal(before, after)
    assert np.sqrt(np.square(after - before).mean()) < 0.15 * before.std()


def test_ranges_need_pictures_and_come_out_the_same_again() -> None:
    plain, shown = load_student(), list(pictures(2, 64, 64))
    assert quantised(plain, shown).ranges == quantised(quantised(plain, shown), shown).ranges
    with pytest.raises((ValueError, IndexError)):
        quantised(plain, [])


def test_a_rounded_kernel_keeps_every_channel_within_half_a_step() -> None:
    import onnx

    from engines.onnx_graph import GraphBuilder

    kernel = np.random.default_rng(0).normal(0, [[[[1.0]]], [[[0.01]]]], (2, 3, 3, 3)).astype(np.float32)
    graph = GraphBuilder()
    value = graph.add("Conv", [add_rounding(graph, "x", Range(0, 1)), add_rounded_kernel(graph, kernel)])
    model = graph.build({"x": (onnx.TensorProto.FLOAT, [1, 3, 3, 3])}, {"y": (value, [1, 2, 1, 1])})
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.ones((1, 3, 3, 3), np.float32)})
    exact = kernel.reshape(2, -1).sum(1)
    half_steps = 27 * np.abs(kernel).reshape(2, -1).max(1) / 63 / 2
    assert (np.abs(found.ravel() - exact) <= half_steps + 1e-5).all()


def test_an_engine_states_its_arithmetic_and_others_than_the_reference_refuse_eight_bits() -> None:
    bundle = small_bundle()
    rounded = replace(bundle, manifest=bundle.manifest.model_copy(update={"precision": "int8"}))
    engine = load_backend(rounded, "onnxruntime")
    assert engine.precision == "int8"
    engine.close()
    for backend in ("openvino", "tensorrt"):
        with pytest.raises(SetupError, match=f"runs on onnxruntime. For {backend} train with --precision f32"):
            load_backend(rounded, backend)

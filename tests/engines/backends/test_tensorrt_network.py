"""What surrounds TensorRT, tried on stand-ins for it and for the GPU: tensors by name, plans kept, all given back."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from engines.backbone import in_precision
from engines.backends.onnxruntime import OnnxRuntimeEngine
from engines.backends.tensorrt import TensorRtEngine
from engines.backends.tensorrt_device import has_device
from engines.backends.tensorrt_network import TensorRtNetwork
from engines.engine import Engine
from engines.oanet import Oanet
from engines.oanet_graph import TOLERANCE, OanetSession, backend_difference, oanet_graph
from engines.oanet_lessons import Lessons
from engines.oanet_training import OanetSettings
from engines.precision import Precision
from schemas.errors import SetupError
from tests.engines import oanet_parts
from tests.engines.backends.contract import SIZE_PX, EngineContract, frames, model
from tests.engines.backends.fake_tensorrt import Gpu, install
from tests.engines.backends.level_models import every_kind_of_layer, level_models

OLD, RECENT, NEW = VERSIONS = (
    Gpu("8.6.1", {"EXPLICIT_BATCH": 0}),
    Gpu("10.9.0", {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}),
    Gpu("11.0.0", {"STRONGLY_TYPED": 0}, ("TF32",)),
)


@pytest.fixture(params=VERSIONS, ids=[each.version for each in VERSIONS])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    made = Gpu(request.param.version, request.param.flags, request.param.builder_flags)
    install(monkeypatch, made)
    return made


@pytest.fixture(scope="module")
def fused() -> tuple[Lessons, Oanet]:
    """A small fused network, made before torch could look for tensorrt and find the stand-in."""
    given = oanet_parts.lessons(n=24)
    return given, oanet_parts.trained(given, OanetSettings(n_epochs=1, refine_epochs=1)).network()


@pytest.mark.parametrize(
    ("precision", "flags"),
    [("f32", set()), ("f16", {"FP16", "OBEY_PRECISION_CONSTRAINTS"}), ("int8-symmetric", {"INT8"})],
)
def test_every_precision_keeps_the_types_of_its_graph(precision: Precision, flags: set[str], gpu: Gpu) -> None:
    shown = frames(3)
    for made in level_models(in_precision(every_kind_of_layer(), precision, list(shown)), SIZE_PX):
        engine = TensorRtEngine.load(made, SIZE_PX, "0" * 64)
        assert gpu.allowed == (flags if gpu.version == OLD.version else set())
        np.testing.assert_array_equal(engine.infer(shown), OnnxRuntimeEngine.load(made, SIZE_PX).infer(shown))
        engine.close()


def test_eight_bits_from_zero_points_are_refused_in_words_that_say_what_to_train(gpu: Gpu) -> None:
    (made, *_) = level_models(in_precision(every_kind_of_layer(), "int8", list(frames(2))), SIZE_PX)
    with pytest.raises(
        SetupError, match=r"counts in uint8 from \d+, .* train with --precision int8-symmetric, f16 or f32"
    ):
        TensorRtEngine.load(made, SIZE_PX, "0" * 64)
    assert (gpu.n_held, gpu.n_built) == (0, 0)


@pytest.mark.usefixtures("gpu")
class TestTensorRtOnAStandIn(EngineContract):
    def make_engine(self, onnx_model: bytes) -> Engine:
        return TensorRtEngine.load(onnx_model, SIZE_PX, "0" * 64)


def test_everything_is_given_back_at_the_end_and_when_a_model_is_refused(gpu: Gpu) -> None:
    engine = TensorRtEngine.load(model(), SIZE_PX, "0" * 64)
    engine.infer(frames(1))
    assert gpu.memory and gpu.n_held == 1
    engine.close()
    with pytest.raises(SetupError, match=r"a bundle's model takes one uint8 \(N, 3, 32, 32\)"):
        TensorRtEngine.load(model(), (32, 32), "0" * 64)
    with pytest.raises(SetupError, match=r"cannot read model\.onnx: no ONNX model"):
        TensorRtEngine.load(b"not a model", SIZE_PX, "0" * 64)
    assert (gpu.memory, gpu.n_held, gpu.depth) == ({}, 0, 0)


def test_a_plan_is_built_once_for_a_model_a_device_and_a_version(gpu: Gpu, tmp_path: Path) -> None:
    for _ in range(2):
        TensorRtEngine.load(model(), SIZE_PX, "ab" * 32, tmp_path).close()
    assert gpu.n_built == 1
    assert [each.name for each in tmp_path.glob("*.plan")] == [
        f"{'ab' * 32}-tensorrt-Stand-in-9000-sm90-{gpu.version}.plan"
    ]
    TensorRtEngine.load(model(), SIZE_PX, "cd" * 32, tmp_path).close()
    assert gpu.n_built == 2


def test_a_kept_plan_that_is_refused_says_to_delete_it(gpu: Gpu, tmp_path: Path) -> None:
    from engines.backends.plan_cache import PlanCache, PlanKey

    PlanCache(tmp_path).store(PlanKey("ab" * 32, "tensorrt", "Stand-in 9000-sm90", gpu.version), b"of another time")
    with pytest.raises(SetupError, match="delete the plan cache"):
        TensorRtEngine.load(model(), SIZE_PX, "ab" * 32, tmp_path)
    assert gpu.n_held == 0


def test_tensors_of_another_shape_or_type_are_refused_by_name(gpu: Gpu) -> None:
    network = TensorRtNetwork.load(model(), "0" * 64)
    for wrong in (frames(2), frames(1).astype(np.float32)):
        with pytest.raises(ValueError, match=r"frames is .*, not uint8 \(1, 3, 48, 64\)"):
            network.run({"frames": wrong})
    network.close()


def test_the_fused_network_runs_by_the_names_of_its_tensors(fused: tuple[Lessons, Oanet], gpu: Gpu) -> None:
    given, net = fused
    pictures, fields = given.images_uint8(np.arange(5), 0), given.fields[0, :5]
    assert has_device()
    assert backend_difference(oanet_graph(net), pictures, fields, "tensorrt") < TOLERANCE
    alone = OanetSession(oanet_graph(net, ("image",)), "tensorrt").image_alone(pictures)
    np.testing.assert_allclose(alone, OanetSession(oanet_graph(net)).infer(pictures, fields).image, atol=1e-6)
    gc.collect()
    assert (gpu.memory, gpu.n_held) == ({}, 0)

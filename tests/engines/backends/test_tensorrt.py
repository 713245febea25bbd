"""TensorRT keeps the engine contract where there is a GPU; without one it says what is missing."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from engines.backends.tensorrt import TensorRtEngine
from engines.engine import Engine
from engines.oanet_graph import TOLERANCE, backend_difference, oanet_graph
from engines.oanet_training import OanetSettings
from schemas.errors import SetupError
from tests.engines import oanet_parts
from tests.engines.backends.contract import SIZE_PX, EngineContract, frames, model


@cache
def _why_not() -> str:
    """Empty when TensorRT, pycuda and a GPU are there."""
    try:
        TensorRtEngine.load(model(), SIZE_PX, "0" * 64).close()
    except SetupError as error:
        return str(error)
    return ""


@pytest.mark.gpu
class TestTensorRt(EngineContract):
    tolerance = 1e-4

    def make_engine(self, onnx_model: bytes) -> Engine:
        if _why_not():
            pytest.skip(_why_not())
        return TensorRtEngine.load(onnx_model, SIZE_PX, "0" * 64)

    def test_a_plan_from_the_cache_gives_the_same_scores(self, tmp_path: Path) -> None:
        if _why_not():
            pytest.skip(_why_not())
        fresh = TensorRtEngine.load(model(), SIZE_PX, "0" * 64, tmp_path)
        again = TensorRtEngine.load(model(), SIZE_PX, "0" * 64, tmp_path)
        assert len(list(tmp_path.glob("*.plan"))) == 1
        np.testing.assert_array_equal(again.infer(frames(2)), fresh.infer(frames(2)))


def test_without_it_the_error_names_what_to_install() -> None:
    if not _why_not():
        pytest.skip("TensorRT runs on this machine")
    assert "sightline[gpu]" in _why_not() or "CUDA" in _why_not()


@pytest.mark.gpu
def test_the_fused_network_agrees_with_onnx_runtime() -> None:
    if _why_not():
        pytest.skip(_why_not())
    given = oanet_parts.lessons(n=24)
    net = oanet_parts.trained(given, OanetSettings(n_epochs=1, refine_epochs=1)).network()
    pictures, fields = given.images_uint8(np.arange(5), 0), given.fields[0, :5]
    assert backend_difference(oanet_graph(net), pictures, fields, "tensorrt") < TOLERANCE

"""ONNX Runtime keeps the engine contract."""

from __future__ import annotations

import pytest

from engines.backends.onnxruntime import OnnxRuntimeEngine
from engines.engine import Engine
from schemas.errors import SetupError
from tests.engines.backends.contract import SIZE_PX, EngineContract, model


class TestOnnxRuntime(EngineContract):
    def make_engine(self, onnx_model: bytes) -> Engine:
        return OnnxRuntimeEngine.load(onnx_model, SIZE_PX)

    def test_a_model_of_another_size_than_the_manifest_says_is_refused(self) -> None:
        with pytest.raises(SetupError, match="a bundle's model takes one uint8"):
            OnnxRuntimeEngine.load(model(), (32, 32))

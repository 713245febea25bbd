"""OpenVINO keeps the engine contract, compiled now or from the plan cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.backends.openvino import OpenVinoEngine
from engines.engine import Engine
from tests.engines.backends.contract import SIZE_PX, EngineContract, frames, model

SHA256 = "ab" * 32


class TestOpenVino(EngineContract):
    def make_engine(self, onnx_model: bytes) -> Engine:
        return OpenVinoEngine.load(onnx_model, SIZE_PX)


class TestCompiledModels:
    def load(self, folder: Path) -> OpenVinoEngine:
        return OpenVinoEngine.load(model(), SIZE_PX, 1, SHA256, folder)

    def test_one_from_the_cache_gives_the_same_scores(self, tmp_path: Path) -> None:
        fresh = self.load(tmp_path).infer(frames(2))
        assert len(list(tmp_path.glob("*.plan"))) == 1
        np.testing.assert_array_equal(self.load(tmp_path).infer(frames(2)), fresh)

    def test_one_this_version_does_not_take_is_compiled_again(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        from engines.backends.plan_cache import PlanCache, PlanKey

        fresh = self.load(tmp_path).infer(frames(1))
        (plan,) = tmp_path.glob("*.plan")
        key = PlanKey(SHA256, "openvino", "", "")
        PlanCache(tmp_path).store(key, b"no compiled model")
        (tmp_path / key.file_name).rename(plan)
        (tmp_path / f"{key.file_name}.sha256").rename(plan.with_suffix(".plan.sha256"))
        np.testing.assert_array_equal(self.load(tmp_path).infer(frames(1)), fresh)
        assert "compiling again" in caplog.text

    def test_one_of_another_rewriting_is_not_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.load(tmp_path)
        (old,) = tmp_path.glob("*.plan")
        monkeypatch.setattr("engines.backends.openvino._REVISION", 99)
        self.load(tmp_path)
        (new,) = set(tmp_path.glob("*.plan")) - {old}
        assert new.stem.endswith("-99")

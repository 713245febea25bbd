"""The choice of a backend: measured, explained, remembered, and never one that disagrees."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import engines.backends.choose as choosing
from engines.backends.choose import Choice, choose_backend, measure_backends
from engines.backends.onnxruntime import OnnxRuntimeEngine
from engines.bundle import Bundle
from engines.engine import Engine, load_engine
from schemas.errors import SetupError
from tests.engines.backends.small_model import small_bundle

CPU = ("onnxruntime", "openvino")


class SlantedEngine(OnnxRuntimeEngine):
    """A backend whose arithmetic is off by a little."""

    backend = "openvino"

    def _infer_one(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        return super()._infer_one(frame) * np.float32(1.01)


def slanted(bundle: Bundle, backend: str, n_threads: int = 1, cache_dir: Path | None = None) -> Engine:
    kind = SlantedEngine if backend == "openvino" else OnnxRuntimeEngine
    return kind.load(bundle.model, bundle.manifest.input_size_px, n_threads)


def test_every_backend_is_measured_and_the_reason_says_so() -> None:
    choice = measure_backends(small_bundle(), backends=CPU)
    assert choice.backend in CPU
    assert [each.backend for each in choice.measurements] == list(CPU)
    assert all(each.least_ms is not None and each.least_ms > 0 for each in choice.measurements)
    assert "onnxruntime" in choice.why and "ms at best" in choice.why


def test_a_backend_that_disagrees_is_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "load_backend", slanted)
    monkeypatch.setattr(choosing, "ADVANTAGE", 1e9)
    choice = measure_backends(small_bundle(), backends=CPU)
    assert choice.backend == "onnxruntime"
    assert "differs from onnxruntime by" in choice.measurements[1].why_not


def test_a_backend_that_is_not_there_is_passed_over_with_its_reason() -> None:
    choice = measure_backends(small_bundle(), backends=("onnxruntime", "unheard-of"))
    assert choice.backend == "onnxruntime"
    assert "unheard-of" in choice.measurements[1].why_not


def test_the_choice_is_made_in_another_process_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = small_bundle()
    first = choose_backend(bundle, backends=CPU, cache_dir=tmp_path)
    assert first.measurements
    monkeypatch.setattr(subprocess, "run", _refuse_to_run)
    assert choose_backend(bundle, backends=CPU, cache_dir=tmp_path) == first


def test_when_measuring_fails_the_reference_is_taken_and_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choosing, "_CHILD", "import os; os.abort()")
    choice = choose_backend(small_bundle(), backends=CPU, cache_dir=tmp_path)
    assert choice == Choice(backend="onnxruntime", measurements=(), why=choice.why)
    assert "taking the reference" in caplog.text
    assert not list(tmp_path.iterdir())


def test_an_unknown_backend_or_no_threads_is_a_set_up_error() -> None:
    with pytest.raises(SetupError, match="use auto or one of"):
        load_engine(small_bundle(), "cuda")
    with pytest.raises(SetupError, match="threads 0"):
        load_engine(small_bundle(), "onnxruntime", 0)


def _refuse_to_run(*_: object, **__: object) -> None:
    raise AssertionError("the choice was measured again")

"""ONNX Runtime on the CPU: the reference every other backend is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engines.engine import CheckedEngine
from engines.onnx_session import cpu_options, cpu_session
from schemas.errors import EngineFault, SetupError


class OnnxRuntimeEngine(CheckedEngine):
    """float32 on the CPU execution provider, batch fixed to one frame."""

    backend = "onnxruntime"
    precision = "f32"
    version = onnxruntime.__version__

    def __init__(self, session: Any, input_size_px: tuple[int, int]) -> None:
        super().__init__(input_size_px)
        self._session = session
        self._input: str = session.get_inputs()[0].name

    @classmethod
    def load(cls, model: bytes, input_size_px: tuple[int, int], n_threads: int = 1) -> OnnxRuntimeEngine:
        """A session on `model`. Threads wait without spinning, so that an idle engine costs no CPU.

        Raises: SetupError when the model is not one ONNX Runtime can run or not of the bundle contract.
        """
        options = cpu_options(n_threads)
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        try:
            _fix_batch(options, model)
            session = cpu_session(model, options)
        except Exception as exc:  # the binding raises a private class per status code
            raise SetupError(f"model.onnx cannot be loaded by ONNX Runtime {cls.version}: {exc}") from exc
        _check_contract(session, input_size_px)
        return cls(session, input_size_px)

    def _infer_one(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            (grid,) = self._session.run(None, {self._input: frame})
        except Exception as exc:
            raise EngineFault(f"ONNX Runtime failed: {exc}") from exc
        return np.asarray(grid)

    def _release(self) -> None:
        self._session = None


def _fix_batch(options: Any, model: bytes) -> None:
    """Tell ONNX Runtime that symbolic dimensions are 1, so that it plans its memory once."""
    probe = onnxruntime.SessionOptions()
    probe.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    probe.log_severity_level = 3
    shape = onnxruntime.InferenceSession(model, probe, providers=["CPUExecutionProvider"]).get_inputs()[0].shape
    for dimension in shape:
        if isinstance(dimension, str):
            options.add_free_dimension_override_by_name(dimension, 1)


def _check_contract(session: Any, input_size_px: tuple[int, int]) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    width, height = input_size_px
    good = (
        len(inputs) == 1
        and len(outputs) == 1
        and inputs[0].type == "tensor(uint8)"
        and outputs[0].type == "tensor(float)"
        and list(inputs[0].shape[1:]) == [3, height, width]
    )
    if not good:
        given = [(node.name, node.type, node.shape) for node in (*inputs, *outputs)]
        raise SetupError(
            f"model.onnx has {given}; a bundle's model takes one uint8 (N, 3, {height}, {width}) and gives one "
            "float32 (N, 1, h, w)"
        )

"""OpenVINO on the CPU: usually the fastest there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.engine import CheckedEngine
from schemas.errors import EngineFault, SetupError


class OpenVinoEngine(CheckedEngine):
    """float32 (no bf16 or f16 anywhere), latency hint, one stream, static shape of one frame."""

    backend = "openvino"
    precision = "f32"

    def __init__(self, request: Any, input_size_px: tuple[int, int], version: str) -> None:
        super().__init__(input_size_px)
        self._request = request
        self.version = version

    @classmethod
    def load(cls, model: bytes, input_size_px: tuple[int, int], n_threads: int = 1) -> OpenVinoEngine:
        """Compile `model` for this CPU. Raises: SetupError when OpenVINO cannot."""
        import openvino

        version = str(openvino.get_version()).split("-")[0]
        width, height = input_size_px
        try:
            core = openvino.Core()
            network = core.read_model(model)
            network.reshape([1, 3, height, width])
            compiled = core.compile_model(
                network,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": "f32",
                    "EXECUTION_MODE_HINT": "ACCURACY",
                    "INFERENCE_NUM_THREADS": n_threads,
                    "NUM_STREAMS": 1,
                    "ENABLE_HYPER_THREADING": False,
                },
            )
            request = compiled.create_infer_request()
        except Exception as exc:  # OpenVINO raises RuntimeError and its subclasses, worded by the plugin
            raise SetupError(f"model.onnx cannot be loaded by OpenVINO {version}: {exc}") from exc
        return cls(request, input_size_px, version)

    def _infer_one(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            results = self._request.infer([frame], share_inputs=True, share_outputs=True)
            return np.array(results[0])
        except RuntimeError as exc:
            raise EngineFault(f"OpenVINO failed: {exc}") from exc

    def _release(self) -> None:
        self._request = None

"""OpenVINO on the CPU: usually the fastest there."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backends.openvino_resize import quicken_doubling
from engines.backends.openvino_rounding import is_rounded, keep_roundings
from engines.backends.plan_cache import PlanCache, PlanKey
from engines.engine import CheckedEngine
from schemas.errors import EngineFault, SetupError

log = logging.getLogger(__name__)
_REVISION = 2
"""Of what is done to a network before it is compiled: raise it with every change, or cached models keep the old."""


class OpenVinoEngine(CheckedEngine):
    """float32 (no bf16 or f16 anywhere) and 8 bits where the model says, latency hint, one stream, one static frame."""

    backend = "openvino"
    precision = "f32"

    def __init__(self, request: Any, input_size_px: tuple[int, int], version: str) -> None:
        super().__init__(input_size_px)
        self._request = request
        self.version = version

    @classmethod
    def load(
        cls,
        model: bytes,
        input_size_px: tuple[int, int],
        n_threads: int = 1,
        bundle_sha256: str = "",
        cache_dir: Path | None = None,
    ) -> OpenVinoEngine:
        """The engine of `model` for this CPU, from the plan cache or compiled now.

        Args: cache_dir: where compiled models are kept; None compiles anew each time.
        Raises: SetupError when OpenVINO cannot run the model.
        """
        import openvino

        full_version = str(openvino.get_version())
        version = full_version.split("-", maxsplit=1)[0]
        cache = PlanCache(cache_dir) if cache_dir is not None else None
        try:
            core = openvino.Core()
            key = PlanKey(bundle_sha256, cls.backend, str(core.get_property("CPU", "FULL_DEVICE_NAME")),
                          f"{full_version}-{_REVISION}")  # fmt: skip
            compiled = _recall(core, cache, key, n_threads)
            if compiled is None:
                compiled = _compile(core, model, input_size_px, n_threads)
                if cache is not None:
                    exported = io.BytesIO()
                    compiled.export_model(exported)
                    cache.store(key, exported.getvalue())
            request = compiled.create_infer_request()
        except RuntimeError as exc:
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


def _options(n_threads: int) -> dict[str, Any]:
    """Not pinned to a core: the line shares its machine with a broker and a database."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "INFERENCE_NUM_THREADS": n_threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }


def _compile(core: Any, model: bytes, input_size_px: tuple[int, int], n_threads: int) -> Any:
    network = core.read_model(model)
    width, height = input_size_px
    network.reshape([1, 3, height, width])
    quicken_doubling(network)
    if is_rounded(network):
        keep_roundings(network)
    return core.compile_model(network, "CPU", _options(n_threads))


def _recall(core: Any, cache: PlanCache | None, key: PlanKey, n_threads: int) -> Any:
    """The compiled model of `key`; None when there is none that this OpenVINO takes."""
    blob = cache.load(key) if cache is not None else None
    if blob is None:
        return None
    try:
        return core.import_model(blob, "CPU", _options(n_threads))
    except RuntimeError as exc:
        log.warning("OpenVINO refused its compiled model of %s, compiling again: %s", key.bundle_sha256[:12], exc)
        return None

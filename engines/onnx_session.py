"""ONNX Runtime sessions on the CPU, set up as a line wants them."""

from __future__ import annotations

from typing import Any


def cpu_options(n_threads: int) -> Any:
    """`onnxruntime.SessionOptions`: `n_threads`, which wait without spinning, for the line shares its cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def cpu_session(model: bytes, options: Any) -> Any:
    """An `onnxruntime.InferenceSession` of `model` (ONNX).

    Raises: what the binding raises for a model it cannot load: a private class for each status code.
    """
    import onnxruntime

    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

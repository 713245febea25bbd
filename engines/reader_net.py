"""The reader's net: its layers, its weights on disk, and the ONNX graph they make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from engines.line_crop import CROP_HEIGHT_PX
from engines.onnx_graph import GraphBuilder
from engines.reader import CHARACTERS
from schemas.errors import SetupError

READER_WEIGHTS = Path(__file__).with_name("reader.npz")
LEAST_CONTRAST = 8.0
"""Grey levels: a crop that varies less is not stretched further, so that nothing is read into an empty one."""
Float = NDArray[np.float32]


def reader_shapes() -> dict[str, tuple[int, int, int, int]]:
    """Layer name -> weights (out, in, rows, columns); each with a bias. About 1.9 million multiply-adds a line."""
    return {
        "strokes": (16, 1, 3, 3),
        "shapes": (32, 16, 3, 3),
        "columns": (64, 32, CROP_HEIGHT_PX // 4, 1),
        "near": (64, 64, 1, 3),
        "around": (64, 64, 1, 3),
        "classes": (len(CHARACTERS) + 1, 64, 1, 1),
    }


STRIDES = {"strokes": (2, 2), "shapes": (2, 1)}


def load_weights(path: Path = READER_WEIGHTS) -> dict[str, Float]:
    """`<layer>.weight` and `<layer>.bias` of every layer. Raises: SetupError naming what is wrong."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name], np.float32) for name in arrays.files}
    except (OSError, ValueError, KeyError) as exc:
        raise SetupError(f"the reader's weights {path} cannot be read: {exc}; install Sightline again") from exc
    for layer, shape in reader_shapes().items():
        for name, wanted in ((f"{layer}.weight", shape), (f"{layer}.bias", shape[:1])):
            if name not in found or found[name].shape != wanted:
                given = found[name].shape if name in found else "nothing"
                raise SetupError(
                    f"the reader's weights {path}: {name} is {given}, not {wanted}; train the reader again"
                )
    return found


def reader_onnx(weights: Mapping[str, Float]) -> bytes:
    """(N, CROP_HEIGHT_PX, W) uint8 -> (N, classes, W / 2) float32 log probabilities, as an ONNX model.

    Every crop is brought to zero mean and unit deviation first, within LEAST_CONTRAST.
    """
    graph = GraphBuilder()
    pixels = graph.add("Cast", ["crops"], to=int(TensorProto.FLOAT))
    centred = graph.add("Sub", [pixels, graph.add("ReduceMean", [pixels], axes=[1, 2], keepdims=1)])
    variance = graph.add("ReduceMean", [graph.add("Mul", [centred, centred])], axes=[1, 2], keepdims=1)
    least = graph.constant(np.array(LEAST_CONTRAST, np.float32))
    spread = graph.add("Max", [graph.add("Sqrt", [variance]), least])
    axis = graph.constant(np.array([1], np.int64))
    tensor = graph.add("Unsqueeze", [graph.add("Div", [centred, spread]), axis])
    for layer, (_, _, rows, columns) in reader_shapes().items():
        above, beside = (0 if layer == "columns" else rows // 2), columns // 2
        names = [graph.constant(np.asarray(weights[f"{layer}.{part}"], np.float32)) for part in ("weight", "bias")]
        strides = list(STRIDES.get(layer, (1, 1)))
        tensor = graph.add("Conv", [tensor, *names], strides=strides, pads=[above, beside, above, beside])
        if layer != "classes":
            tensor = graph.add("Relu", [tensor])
    flat = graph.add("Squeeze", [tensor, graph.constant(np.array([2], np.int64))])
    logs = graph.add("LogSoftmax", [flat], axis=1)
    return graph.build(
        {"crops": (TensorProto.UINT8, ["n", CROP_HEIGHT_PX, "w"])},
        {"logs": (logs, ["n", len(CHARACTERS) + 1, "s"])},
    )

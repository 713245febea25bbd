"""Builds small ONNX models and bundles of the bundle contract, for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.bundle import MODEL, TEMPLATE, Bundle, bundle_bytes
from engines.manifest import Manifest
from schemas.verdict import Thresholds

CREATED_AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def small_model(input_size_px: tuple[int, int] = (64, 48), seed: int = 3, poisonous: bool = False) -> bytes:
    """A net of three strided convolutions: (N, 3, H, W) uint8 -> (N, 1, H/8, W/8) float32 in 0..1.

    `poisonous`: its scores are NaN for a frame whose every pixel is 255.
    """
    rng = np.random.default_rng(seed)
    nodes, constants = [helper.make_node("Cast", ["frames"], ["x0"], to=TensorProto.FLOAT)], []
    channels = (3, 8, 16, 16)
    for i, (before, after) in enumerate(pairwise(channels)):
        weight = rng.normal(0, (2 / (before * 9)) ** 0.5 / (255 if i == 0 else 1), (after, before, 3, 3))
        constants.append(numpy_helper.from_array(weight.astype(np.float32), f"w{i}"))
        nodes.append(helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"c{i}"], strides=[2, 2], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"x{i + 1}"]))
    nodes.append(helper.make_node("ReduceMean", ["x3"], ["mean"], axes=[1], keepdims=1))
    nodes.append(helper.make_node("Tanh", ["mean"], ["bounded"]))
    nodes += _ending(constants, poisonous)
    return _model(nodes, constants, input_size_px)


def difference_model(template: NDArray[np.uint8]) -> bytes:
    """A true, if simple, inspector: the mean |frame - template| / 255 of each 8x8 tile; template (H, W) or RGB."""
    height, width = template.shape[:2]
    rgb = template if template.ndim == 3 else np.dstack([template] * 3)
    constants = [
        numpy_helper.from_array(rgb.transpose(2, 0, 1)[None].astype(np.float32), "template"),
        numpy_helper.from_array(np.array(255, np.float32), "white"),
    ]
    nodes = [
        helper.make_node("Cast", ["frames"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["x", "template"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["size"]),
        helper.make_node("ReduceMean", ["size"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["tiles"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Div", ["tiles", "white"], ["scores"]),
    ]
    return _model(nodes, constants, (width, height))


def _model(nodes: list[Any], constants: list[Any], input_size_px: tuple[int, int]) -> bytes:
    width, height = input_size_px
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", 3, height, width])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 1, height // 8, width // 8])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _ending(constants: list[Any], poisonous: bool) -> list[Any]:
    if not poisonous:
        return [helper.make_node("Identity", ["bounded"], ["scores"])]
    constants.append(numpy_helper.from_array(np.array(255, np.float32), "white"))
    return [
        helper.make_node("ReduceMin", ["x0"], ["darkest"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Sub", ["white", "darkest"], ["above"]),
        helper.make_node("Div", ["above", "above"], ["one"]),
        helper.make_node("Mul", ["bounded", "one"], ["scores"]),
    ]


def plate(size_px: tuple[int, int], seed: int = 1) -> NDArray[np.uint8]:
    """(H, W) uint8: a bright plate with holes on a dark ground, asymmetric, with fine texture."""
    width, height = size_px
    rng = np.random.default_rng(seed)
    picture = np.full((height, width), 40, np.uint8)
    cv2.rectangle(picture, (width // 8, height // 8), (width - width // 8, height - height // 6), 170, -1)
    for x, y, r in ((0.3, 0.35, 0.08), (0.7, 0.3, 0.05), (0.62, 0.66, 0.1)):
        cv2.circle(picture, (round(x * width), round(y * height)), max(1, round(r * min(width, height))), 60, -1)
    texture = cv2.GaussianBlur(rng.normal(0, 30, (height, width)).astype(np.float32), (0, 0), 1.5)
    return np.asarray(np.clip(picture + texture, 0, 255), np.uint8)


def manifest(**changes: Any) -> Manifest:
    """A manifest for a 64x48 model on 128x96 frames."""
    values: dict[str, Any] = {
        "product": "plate",
        "created_at": CREATED_AT,
        "input_size_px": (64, 48),
        "frame_size_px": (128, 96),
        "thresholds": Thresholds(review=0.4, fail=0.6),
        "cell_threshold": 0.4,
    }
    return Manifest(**(values | changes))


def small_bundle(**changes: Any) -> Bundle:
    """A bundle around `small_model` and `plate`; `model` and `template` may be given, the rest goes to the manifest."""
    described = manifest(**{name: value for name, value in changes.items() if name not in ("model", "template")})
    template = changes.get("template", plate(described.input_size_px))
    model = changes.get("model", small_model(described.input_size_px))
    encoded = template if template.ndim == 2 else template[:, :, ::-1]
    png = cv2.imencode(".png", np.ascontiguousarray(encoded))[1].tobytes()
    return Bundle.from_bytes(bundle_bytes(described, {MODEL: model, TEMPLATE: png}))

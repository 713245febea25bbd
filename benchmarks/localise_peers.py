"""What the localisation benchmark is measured against: ResNet-18's trunk on ONNX Runtime, the naive chain around it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from engines.backbone import Backbone, MaxPool, add_backbone
from engines.backbone_resnet import load_resnet18, resnet18_spec
from engines.onnx_graph import GraphBuilder

_ECC_ROUNDS, _ECC_EPSILON = 50, 1e-4
_STRIDES = {"layer1": 4, "layer2": 8, "layer3": 16}


def trunk(weights: Any, side_px: int, n_threads: int) -> Any:
    """An ONNX Runtime session, float32, all optimisations, of conv1 to layer3 at side_px x side_px, batch 1.

    Args: weights: path of the .npz; None: random numbers, which take the same time.
    """
    import onnxruntime

    backbone = load_resnet18(weights) if weights is not None else _random_resnet18()
    graph = GraphBuilder()
    levels = add_backbone(graph, backbone, "picture")
    outputs: dict[str, tuple[str, list[int | str]]] = {
        level.name: (
            levels[level.name],
            [1, level.channels, side_px // _STRIDES[level.name], side_px // _STRIDES[level.name]],
        )
        for level in backbone.spec.levels
    }
    model = graph.build({"picture": (onnx.TensorProto.UINT8, [1, 3, side_px, side_px])}, outputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    # Its threads spin for work while it runs, as they do by default, but not on into what is timed after it.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class NaiveChain:
    """What one writes first: full decode, shrink, findTransformECC from where the template lies, warp, trunk, distance.

    The distance is to one mean feature map, its greatest value the verdict's score.
    """

    def __init__(self, session: Any, template: NDArray[np.uint8], ecc_side_px: int | None = None) -> None:
        """`template` (S, S) uint8 at the trunk's size; `ecc_side_px`: of the pictures aligned, S by default."""
        self._session = session
        self._template = template
        side = ecc_side_px or len(template)
        self._enlarged = np.asarray(cv2.resize(template, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
        self._mean = self._features(template)

    def score(self, jpeg: bytes) -> float:
        """The frame's score."""
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise ValueError("the benchmark's own JPEG cannot be decoded")
        side, ecc_side = len(self._template), len(self._enlarged)
        small = np.asarray(cv2.resize(picture, (ecc_side, ecc_side), interpolation=cv2.INTER_AREA), np.uint8)
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ECC_ROUNDS, _ECC_EPSILON)
        start = np.eye(2, 3, dtype=np.float32)
        _, turn = cv2.findTransformECC(self._enlarged, small, start, cv2.MOTION_EUCLIDEAN, criteria)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(small, turn, (ecc_side, ecc_side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        if ecc_side != side:
            warped = cv2.resize(warped, (side, side), interpolation=cv2.INTER_AREA)
        away = self._features(np.asarray(warped, np.uint8)) - self._mean
        grid = np.sqrt(np.square(away).sum(0))
        return float(cv2.GaussianBlur(cv2.resize(grid, (side, side)), (0, 0), 4).max())

    def _features(self, grey: NDArray[np.uint8]) -> NDArray[np.float32]:
        batch = np.ascontiguousarray(np.broadcast_to(grey, (1, 3, *grey.shape)))
        outputs: list[NDArray[np.float32]] = self._session.run(None, {"picture": batch})
        size = (outputs[1].shape[3], outputs[1].shape[2])
        maps = [cv2.resize(level[0].transpose(1, 2, 0), size).transpose(2, 0, 1) for level in outputs]
        return np.concatenate(maps)


def _random_resnet18() -> Backbone:
    spec, rng = resnet18_spec(), np.random.default_rng(0)
    weights: dict[str, NDArray[np.float32]] = {}
    channels = {"input": 3}
    wide = {"conv1": 64, "layer1": 64, "layer2": 128, "layer3": 256}
    for layer in spec.layers:
        if isinstance(layer, MaxPool):
            channels[layer.output] = channels[layer.source]
            continue
        out = wide[layer.weights.split(".")[0]]
        shape = (out, channels[layer.source], layer.kernel, layer.kernel)
        weights[f"{layer.weights}.weight"] = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        weights[f"{layer.weights}.bias"] = np.zeros(out, np.float32)
        channels[layer.output] = out
    return Backbone(spec, weights)

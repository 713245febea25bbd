"""EfficientAD-S as published, with random weights, for its time: what it takes does not depend on what it learnt.

Teacher and student are patch description networks of the small kind, the student with twice the outputs; an
autoencoder runs beside them. Convolutions of the description networks are not padded, the cheaper of the two ways
they are used in. Source: Batzner, Heckler, Koenig: EfficientAD (2023), arXiv 2303.14535, appendix A.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.onnx_graph import GraphBuilder

SIDE_PX = 256
OUT_CHANNELS = 384
_CODE_CHANNELS = 64
_ENCODER = ((32, 4, 2, 1), (32, 4, 2, 1), (64, 4, 2, 1), (64, 4, 2, 1), (64, 4, 2, 1), (_CODE_CHANNELS, 8, 1, 0))
"""Of each convolution: channels, kernel, stride, padding."""
_DECODER_SIDES = (3, 8, 15, 32, 63, 127)
"""What the code is enlarged to before each of the decoder's 4x4 convolutions; the last goes back to the maps' side."""


def efficientad_s(n_threads: int) -> Any:
    """An ONNX Runtime session, float32, all optimisations: picture (1, 3, 256, 256) uint8 -> scores (1, 1, 56, 56)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(efficientad_model(), options, providers=["CPUExecutionProvider"])


def efficientad_model() -> bytes:
    """The network as ONNX."""
    net = _Net()
    picture = net.graph.add("Mul", [net.graph.add("Cast", ["picture"], to=1), net.number(1 / 255)])
    teacher = net.describe(picture, OUT_CHANNELS)
    student = net.describe(picture, 2 * OUT_CHANNELS)
    side = (SIDE_PX - 3) // 2 - 3  # conv1, halved, conv2
    side = side // 2 - 2 - 3  # halved, conv3 (3x3), conv4 (4x4)
    rebuilt = net.autoencode(picture, side)
    parts = net.graph.constant(np.array([OUT_CHANNELS, OUT_CHANNELS], np.int64))
    first, second = net.graph.add_two("Split", [student, parts], axis=1)
    maps = [net.distance(teacher, first), net.distance(rebuilt, second)]
    scores = net.graph.add("Mul", [net.graph.add("Add", maps), net.number(0.5)])
    return net.graph.build(
        {"picture": (onnx.TensorProto.UINT8, [1, 3, SIDE_PX, SIDE_PX])}, {"scores": (scores, [1, 1, side, side])}
    )


class _Net:
    """Layers with random weights on a graph."""

    def __init__(self) -> None:
        self.graph = GraphBuilder()
        self._rng = np.random.default_rng(0)
        self._channels: dict[str, int] = {}

    def number(self, value: float) -> str:
        return self.graph.constant(np.array(value, np.float32))

    def conv(self, source: str, channels: int, kernel: int, stride: int = 1, pad: int = 0, *, relu: bool = True) -> str:
        before = self._channels.get(source, 3)
        shape = (channels, before, kernel, kernel)
        weights: NDArray[np.float64] = self._rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        inputs = [
            source,
            self.graph.constant(weights.astype(np.float32)),
            self.graph.constant(np.zeros(channels, np.float32)),
        ]
        value = self.graph.add("Conv", inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)
        value = self.graph.add("Relu", [value]) if relu else value
        self._channels[value] = channels
        return value

    def describe(self, picture: str, channels: int) -> str:
        """The small patch description network."""
        value = self._halved(self.conv(picture, 128, 4))
        value = self._halved(self.conv(value, 256, 4))
        value = self.conv(value, 256, 3)
        return self.conv(value, channels, 4, relu=False)

    def autoencode(self, picture: str, side: int) -> str:
        value = picture
        for i, (channels, kernel, stride, pad) in enumerate(_ENCODER):
            value = self.conv(value, channels, kernel, stride, pad, relu=i < len(_ENCODER) - 1)
        for enlarged in _DECODER_SIDES:
            value = self.conv(self._resized(value, enlarged), _CODE_CHANNELS, 4, pad=2)
        value = self.conv(self._resized(value, side), _CODE_CHANNELS, 3, pad=1)
        return self.conv(value, OUT_CHANNELS, 3, pad=1, relu=False)

    def distance(self, left: str, right: str) -> str:
        """(1, 1, h, w) mean square of the difference over channels."""
        away = self.graph.add("Sub", [left, right])
        return self.graph.add("ReduceMean", [self.graph.add("Mul", [away, away])], axes=[1], keepdims=1)

    def _halved(self, value: str) -> str:
        halved = self.graph.add("AveragePool", [value], kernel_shape=[2, 2], strides=[2, 2])
        self._channels[halved] = self._channels[value]
        return halved

    def _resized(self, value: str, side: int) -> str:
        sizes = self.graph.constant(np.array([1, _CODE_CHANNELS, side, side], np.int64))
        resized = self.graph.add(
            "Resize", [value, "", "", sizes], mode="linear", coordinate_transformation_mode="half_pixel"
        )
        self._channels[resized] = _CODE_CHANNELS
        return resized

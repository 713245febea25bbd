"""The image matching module as one ONNX graph, spatial transformer included."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.imm import BRANCH, REGRESSION, ConvLayer, ImmGeometry, Weights, check_weights
from engines.onnx_graph import GraphBuilder

_EPSILON = 1e-3


def build_imm(template: NDArray[np.uint8], weights: Weights) -> bytes:
    """The graph for `template` (H, W) uint8.

    Input `frame` (n, 1, H, W) uint8 at the template's size. Outputs, float32: `transform` (n, 2, 3), template px ->
    frame px; `aligned` (n, 1, H, W), the frame on the template, in grey levels.
    Raises: SetupError when the weights do not fit.
    """
    geometry = ImmGeometry.of((template.shape[1], template.shape[0]))
    check_weights(weights, geometry)
    graph = GraphBuilder()
    frame = graph.add("Cast", ["frame"], to=onnx.TensorProto.FLOAT)
    seen = _branch(graph, _standardised(graph, _shrunk(graph, frame, geometry.shrink)), weights)
    width, height = geometry.small
    blocks = template.astype(np.float32).reshape(height, geometry.shrink, width, geometry.shrink)
    known = graph.constant(blocks.mean(axis=(1, 3), dtype=np.float32)[None, None])
    wanted = _branch(graph, _standardised(graph, known), weights)
    wanted = graph.add("Expand", [wanted, graph.add("Shape", [seen])])
    joined = graph.add("Concat", [seen, wanted], axis=1)
    for layer in REGRESSION:
        joined = _convolve(graph, joined, layer, weights)
    flat = graph.add("Flatten", [joined])
    hidden = graph.add("Relu", [_dense(graph, flat, "dense1", weights)])
    matrix = _normalised_matrix(graph, _dense(graph, hidden, "pose", weights), geometry)
    outputs: dict[str, tuple[str, list[int | str]]] = {
        "transform": (_to_pixels(graph, matrix, geometry), ["n", 2, 3]),
        "aligned": (_resampled(graph, frame, matrix, geometry), ["n", 1, template.shape[0], template.shape[1]]),
    }
    return graph.build({"frame": (onnx.TensorProto.UINT8, ["n", 1, *template.shape])}, outputs)


def _shrunk(graph: GraphBuilder, picture: str, shrink: int) -> str:
    if shrink == 1:
        return picture
    return graph.add("AveragePool", [picture], kernel_shape=[shrink, shrink], strides=[shrink, shrink])


def _standardised(graph: GraphBuilder, small: str) -> str:
    """Brought to mean 0 and deviation 1, each picture by itself."""
    level = graph.add("ReduceMean", [small], axes=[1, 2, 3], keepdims=1)
    off = graph.add("Sub", [small, level])
    variance = graph.add("ReduceMean", [graph.add("Mul", [off, off])], axes=[1, 2, 3], keepdims=1)
    steady = graph.add("Add", [variance, graph.constant(np.array(_EPSILON, np.float32))])
    return graph.add("Div", [off, graph.add("Sqrt", [steady])])


def _convolve(graph: GraphBuilder, inputs: str, layer: ConvLayer, weights: Weights) -> str:
    names = [graph.constant(weights[f"{layer.name}.{part}"]) for part in ("weight", "bias")]
    pad = layer.kernel // 2
    strides = [layer.stride, layer.stride]
    return graph.add("Relu", [graph.add("Conv", [inputs, *names], pads=[pad] * 4, strides=strides)])


def _branch(graph: GraphBuilder, picture: str, weights: Weights) -> str:
    for layer in BRANCH:
        picture = _convolve(graph, picture, layer, weights)
    return picture


def _dense(graph: GraphBuilder, inputs: str, name: str, weights: Weights) -> str:
    arrays = [graph.constant(weights[f"{name}.{part}"]) for part in ("weight", "bias")]
    return graph.add("Gemm", [inputs, *arrays], transB=1)


def _normalised_matrix(graph: GraphBuilder, pose: str, geometry: ImmGeometry) -> str:
    """(n, 2, 3) template -> frame in coordinates of -1 to 1; linear in tx, ty, sine and cosine."""
    shift, turn = _columns(graph, pose, 0, 2), _columns(graph, pose, 2, 4)
    square = graph.add(
        "ReduceSum", [graph.add("Mul", [turn, turn]), graph.constant(np.array([1], np.int64))], keepdims=1
    )
    length = graph.add("Sqrt", [graph.add("Add", [square, graph.constant(np.array(1e-12, np.float32))])])
    unit = graph.add("Concat", [shift, graph.add("Div", [turn, length])], axis=1)
    rows = graph.add("MatMul", [unit, graph.constant(matrix_of_pose(geometry))])
    return graph.add("Reshape", [rows, graph.constant(np.array([-1, 2, 3], np.int64))])


def matrix_of_pose(geometry: ImmGeometry) -> NDArray[np.float32]:
    """(4, 6): tx, ty, sine, cosine times this are the rows of the 2x3 matrix in coordinates of -1 to 1.

    A turn is a turn on the screen: the axes' different lengths stand in the sine's place.
    """
    width, height = geometry.size
    out = np.zeros((4, 6), np.float32)
    out[0, 2] = out[1, 5] = out[3, 0] = out[3, 4] = 1.0
    out[2, 1], out[2, 3] = height / width, -width / height
    return out


def _columns(graph: GraphBuilder, inputs: str, first: int, after: int) -> str:
    bounds = [graph.constant(np.array([value], np.int64)) for value in (first, after, 1)]
    return graph.add("Slice", [inputs, *bounds])


def _to_pixels(graph: GraphBuilder, matrix: str, geometry: ImmGeometry) -> str:
    """(n, 2, 3) in pixels, centres at whole coordinates: the half-pixel edges lie at -1 and 1."""
    width, height = geometry.size
    to_unit = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]], np.float32)
    scale = np.array([[width / 2, 0], [0, height / 2]], np.float32)
    offset = np.array([[0, 0, (width - 1) / 2], [0, 0, (height - 1) / 2]], np.float32)
    inner = graph.add("MatMul", [matrix, graph.constant(to_unit)])
    return graph.add("Add", [graph.add("MatMul", [graph.constant(scale), inner]), graph.constant(offset)])


def _resampled(graph: GraphBuilder, frame: str, matrix: str, geometry: ImmGeometry) -> str:
    """(n, 1, H, W) the spatial transformer: affine grid, then bilinear samples."""
    width, height = geometry.size
    x, y = (np.arange(width) * 2 + 1) / width - 1, (np.arange(height) * 2 + 1) / height - 1
    grid = np.stack([*np.broadcast_arrays(x[None, :], y[:, None]), np.ones((height, width))])
    flat = graph.constant(grid.reshape(3, -1).astype(np.float32))
    places = graph.add("Transpose", [graph.add("MatMul", [matrix, flat])], perm=[0, 2, 1])
    shaped = graph.add("Reshape", [places, graph.constant(np.array([-1, height, width, 2], np.int64))])
    return graph.add("GridSample", [frame, shaped], mode="bilinear", padding_mode="border", align_corners=0)

"""A doubled grid is written without OpenVINO's Interpolate and keeps its values."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import openvino
import pytest

from engines.backbone import add_doubling
from engines.backends.onnxruntime import OnnxRuntimeEngine
from engines.backends.openvino import OpenVinoEngine
from engines.backends.openvino_resize import quicken_doubling
from engines.onnx_graph import GraphBuilder
from tests.engines.exported import pictures

WIDTH, HEIGHT = 40, 24


def doubling(times: int = 2, *, channels_last: bool = True, points: bool = False) -> bytes:
    """A model of the bundle contract whose scores are the picture enlarged, channel under channel.

    Args: points: as graphs of older versions did it, with means put between the cells.
    """
    graph = GraphBuilder()
    value = graph.add("Cast", ["picture"], to=1)
    value = graph.add("Transpose", [value], perm=[0, 2, 3, 1]) if channels_last else value
    if times == 2 and not points:
        value = add_doubling(graph, value, channels_last=channels_last)
    else:
        scales = graph.constant(np.array([1, times, times, 1], np.float32))
        mode = "asymmetric" if points else "half_pixel"
        value = graph.add("Resize", [value, "", scales], mode="linear", coordinate_transformation_mode=mode)
    value = graph.add("Transpose", [value], perm=[0, 3, 1, 2]) if channels_last else value
    flat = graph.add("Reshape", [value, graph.constant(np.array([0, 1, 3 * times * HEIGHT, times * WIDTH], np.int64))])
    return graph.build(
        {"picture": (onnx.TensorProto.UINT8, ["n", 3, HEIGHT, WIDTH])},
        {"scores": (flat, ["n", 1, 3 * times * HEIGHT, times * WIDTH])},
    )


def n_interpolations(network: Any) -> int:
    return sum(each.get_type_name() == "Interpolate" for each in network.get_ops())


@pytest.mark.parametrize("points", [False, True], ids=["tiles", "points"])
def test_a_doubled_grid_has_the_values_it_had(points: bool) -> None:
    shown, model = pictures(2, WIDTH, HEIGHT), doubling(points=points)
    expected = OnnxRuntimeEngine.load(model, (WIDTH, HEIGHT)).infer(shown)
    found = OpenVinoEngine.load(model, (WIDTH, HEIGHT)).infer(shown)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "n_left"),
    [(doubling(), 0), (doubling(points=True), 0), (doubling(4), 1), (doubling(channels_last=False), 1)],
    ids=["doubled", "doubled as points", "four times", "channels first"],
)  # fmt: skip
def test_only_doublings_with_channels_last_are_rewritten(model: bytes, n_left: int) -> None:
    network = openvino.Core().read_model(model)
    network.reshape([1, 3, HEIGHT, WIDTH])
    assert n_interpolations(network) == 1
    quicken_doubling(network)
    assert n_interpolations(network) == n_left

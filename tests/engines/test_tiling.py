"""A large picture through the backbone tile by tile: the same levels, whatever the tiles."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from engines.backbone import Backbone, in_precision
from engines.backbone_student import load_student
from engines.onnx_graph import GraphBuilder
from engines.onnx_session import cpu_options, cpu_session
from engines.precision import Precision
from engines.tiling import add_tiled_backbone, sight_px, spans

WIDTH, HEIGHT = 340, 296


def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (1, 3, HEIGHT, WIDTH), np.uint8)


def levels(backbone: Backbone, tile_px: int) -> tuple[list[NDArray[np.float32]], int]:
    """The levels of the picture cut at `tile_px`, and the size of the model in bytes."""
    graph = GraphBuilder()
    found = add_tiled_backbone(graph, backbone, "picture", (WIDTH, HEIGHT), tile_px)
    model = graph.build(
        {"picture": (onnx.TensorProto.UINT8, ["n", 3, HEIGHT, WIDTH])},
        {name: (tensor, ["n", f"c_{name}", f"h_{name}", f"w_{name}"]) for name, tensor in found.items()},
    )
    return cpu_session(model, cpu_options(1)).run(None, {"picture": picture()}), len(model)


@pytest.mark.parametrize("precision", ["f32", "int8", "int8-symmetric"])
@pytest.mark.parametrize("tile_px", [112, 224])
def test_every_level_is_that_of_the_whole_picture(precision: Precision, tile_px: int) -> None:
    backbone = in_precision(load_student(), precision, [picture()[0]])
    whole, whole_bytes = levels(backbone, 4096)
    tiled, tiled_bytes = levels(backbone, tile_px)
    tolerance = 1e-5 if precision == "f32" else 0.0
    for ours, theirs in zip(tiled, whole, strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= tolerance
    assert tiled_bytes < 1.5 * whole_bytes


def test_a_place_sees_no_farther_than_said() -> None:
    backbone, sight = load_student(), sight_px(load_student().spec)
    assert sight % 16 == 0
    graph = GraphBuilder()
    found = add_tiled_backbone(graph, backbone, "picture", (WIDTH, HEIGHT), 4096)
    model = graph.build(
        {"picture": (onnx.TensorProto.UINT8, ["n", 3, HEIGHT, WIDTH])},
        {name: (tensor, ["n", f"c_{name}", f"h_{name}", f"w_{name}"]) for name, tensor in found.items()},
    )
    session, changed = cpu_session(model, cpu_options(1)), picture()
    changed[:, :, :, sight + 1 :] = 0
    for ours, theirs in zip(
        session.run(None, {"picture": picture()}), session.run(None, {"picture": changed}), strict=True
    ):
        assert np.array_equal(ours[..., 0], theirs[..., 0])
        assert not np.array_equal(ours, theirs)


def test_tiles_cover_a_side_once_and_stay_within_it() -> None:
    found = spans(1000, 256, 112)
    assert [(each.start, each.end) for each in found] == [(0, 256), (256, 512), (512, 768), (768, 1000)]
    assert (found[0].seen_start, found[1].seen_start, found[-1].seen_end) == (0, 144, 1000)

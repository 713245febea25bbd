"""What TensorRT does not know is found in a graph before anything is built, and said with what to train instead."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from engines.backends.tensorrt_plan import check_types
from engines.backends.tensorrt_types import GraphTypes
from engines.onnx_graph import GraphBuilder
from schemas.errors import SetupError

SIDE_PX, MOST_RANKED = 64, 3840


def grey_levels(*, sliced: bool = False, ranked: int = 0, half: bool = False) -> bytes:
    """A graph that gives grey levels: of a part of the picture, with the `ranked` lowest taken, in float16."""
    graph = GraphBuilder()

    def whole(*values: int) -> str:
        return graph.constant(np.array(values, np.int64))

    value = graph.add("Slice", ["picture", whole(0), whole(SIDE_PX), whole(2)]) if sliced else "picture"
    value = graph.add("Cast", [value], to=onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT)
    value = graph.add("ReduceMean", [value], axes=[1], keepdims=1)
    value = graph.add("Cast", [value], to=onnx.TensorProto.FLOAT) if half else value
    if ranked:
        flat = graph.add("Reshape", [value, whole(0, 1, SIDE_PX * SIDE_PX)])
        lowest, _ = graph.add_two("TopK", [flat, whole(ranked)], largest=0)
        value = graph.add("Sub", [value, graph.add("ReduceMax", [lowest], axes=[1, 2], keepdims=0)])
    shape: list[int | str] = ["n", 3, SIDE_PX, SIDE_PX]
    return graph.build({"picture": (onnx.TensorProto.UINT8, shape)}, {"scores": (value, ["n", 1, SIDE_PX, SIDE_PX])})


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (grey_levels(ranked=MOST_RANKED + 1), "ranks 3841 places, .* at most; train with --grid-px 8, a smaller"),
        (grey_levels(sliced=True), "Slice .* reads the picture's uint8, .* train with an --input-px up to 1024"),
    ],
    ids=["ranking", "tiles"],
)
def test_what_it_does_not_know_is_refused_with_what_to_train(made: bytes, words: str) -> None:
    with pytest.raises(SetupError, match=f"TensorRT does not run this .*{words}.*runs on onnxruntime and openvino"):
        check_types(made)


@pytest.mark.parametrize("made", [grey_levels(), grey_levels(ranked=MOST_RANKED), grey_levels(half=True)])
def test_what_it_knows_is_not(made: bytes) -> None:
    check_types(made)


def test_nodes_count_as_half_precision_from_a_cast_to_it_until_the_next_cast() -> None:
    graph = onnx.load_from_string(grey_levels(half=True)).graph
    (mean,) = (node.name for node in graph.node if node.op_type == "ReduceMean")
    found = GraphTypes.of(grey_levels(half=True))
    assert found is not None and found.half_nodes == {mean} and not found.rounded
    plain = GraphTypes.of(grey_levels())
    assert plain is not None and not plain.half_nodes
    assert GraphTypes.of(b"no model") is None

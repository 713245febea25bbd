"""The matching network as the start of the alignment: its pose, to be refined, in place of the search's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from engines.align_search import turn
from engines.geometry import Size, Transform, apply, compose, middle, resize_transform
from engines.onnx_session import cpu_options, cpu_session
from schemas.errors import SetupError

_REMEDY = "train the bundle again, or with --align-start search"


@dataclass(frozen=True, slots=True, eq=False)
class NetworkStart:
    """A network of `engines.imm_graph`, loaded. `size`: (width, height) of the pictures it takes."""

    session: Any
    size: Size
    pixel_aspect: float

    @classmethod
    def load(cls, model: bytes, pixel_aspect: float = 1.0) -> NetworkStart:
        """The network in `model` (ONNX), on ONNX Runtime with one thread, without torch.

        Its spatial transformer is left out: the warp onto the template comes after the refinement.
        Args: pixel_aspect: height over width of a template pixel in the frame.
        Raises: SetupError when it is not such a network.
        """
        options = cpu_options(1)
        options.add_free_dimension_override_by_name("n", 1)
        try:
            session = cpu_session(pose_only(model), options)
        except SetupError:
            raise
        except Exception as exc:  # the binding raises a private class per status code
            raise SetupError(f"matching network: ONNX Runtime cannot load it: {exc}; {_REMEDY}") from exc
        (frame,), (transform,) = session.get_inputs(), session.get_outputs()
        if frame.type != "tensor(uint8)" or len(frame.shape) != 4 or list(transform.shape[1:]) != [2, 3]:
            raise SetupError(f"matching network: takes {frame.shape}, gives {transform.shape}; {_REMEDY}")
        return cls(session, (int(frame.shape[3]), int(frame.shape[2])), pixel_aspect)

    def start(self, base: NDArray[np.float32]) -> Transform | None:
        """Where the part seems to lie in `base` (H, W), template px -> frame px of that size, turned and moved only.

        None when the network gives no finite pose.
        """
        size = (base.shape[1], base.shape[0])
        seen = base if size == self.size else cv2.resize(base, self.size, interpolation=cv2.INTER_AREA)
        frame = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
        (found,) = self.session.run(["transform"], {"frame": frame[None, None]})
        transform = np.asarray(found[0], np.float64)
        if not np.isfinite(transform).all():
            return None
        angle_deg = math.degrees(math.atan2(transform[0, 1] - transform[1, 0], transform[0, 0] + transform[1, 1]))
        at = apply(resize_transform(self.size, size), apply(transform, middle(self.size)))
        centre = middle(size)
        start = turn(angle_deg, centre, self.pixel_aspect)
        return compose(np.array([[1.0, 0.0, at[0] - centre[0]], [0.0, 1.0, at[1] - centre[1]]]), start)


def pose_only(model: bytes) -> bytes:
    """The graph `model` without its output `aligned`, so that nothing is resampled for it.

    Raises: SetupError when it is no ONNX graph with an output `transform`.
    """
    try:
        graph = onnx.load_model_from_string(model)
    except Exception as exc:  # protobuf's own classes
        raise SetupError(f"matching network: not an ONNX graph: {exc}; {_REMEDY}") from exc
    outputs = [output for output in graph.graph.output if output.name == "transform"]
    if not outputs:
        raise SetupError(f"matching network: its graph has no output 'transform'; {_REMEDY}")
    wanted, nodes = {"transform"}, []
    for node in reversed(graph.graph.node):  # in order of computation, as ONNX asks
        if wanted.intersection(node.output):
            nodes.append(node)
            wanted.update(node.input)
    constants = [constant for constant in graph.graph.initializer if constant.name in wanted]
    pose = onnx.helper.make_graph(nodes[::-1], "pose", graph.graph.input, outputs, constants)
    model_of_pose = onnx.helper.make_model(pose, opset_imports=graph.opset_import, ir_version=graph.ir_version)
    content: bytes = model_of_pose.SerializeToString()
    return content

"""OANet as one ONNX graph, and what runs it: ONNX Runtime on the line, OpenVINO and TensorRT behind the same gate."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from engines.backbone import add_backbone
from engines.oanet import MOST_DEVIATION, REFINED, Oanet
from engines.oanet_branches import N_STAGES
from engines.onnx_graph import GraphBuilder
from engines.onnx_session import cpu_options, cpu_session
from schemas.errors import EngineFault, SetupError

PICTURE, FIELDS, MISSING = "picture", "fields", "missing"
OUTPUTS = ("image", "external", "fused", "embedding")
TOLERANCE = 1e-3
"""Greatest difference of a probability, and of an embedding's number in shares of its spread, between backends."""


def oanet_graph(net: Oanet, outputs: tuple[str, ...] = OUTPUTS) -> bytes:
    """The serialised model; with outputs ("image",) the image branch alone, which then wants the picture only."""
    graph = GraphBuilder()
    found = _image(graph, net)
    inputs: dict[str, tuple[int, list[int | str]]] = {PICTURE: (TensorProto.UINT8, ["n", 3, net.side_px, net.side_px])}
    if outputs != ("image",):
        inputs |= {name: (TensorProto.FLOAT, ["n", net.n_fields]) for name in (FIELDS, MISSING)}
        found |= _with_fields(graph, net, found["embedding"], found.pop("stages"))
    width = {"embedding": REFINED * N_STAGES}
    return graph.build(inputs, {name: (found[name], ["n", width.get(name, 1)]) for name in outputs})


def _image(graph: GraphBuilder, net: Oanet) -> dict[str, str]:
    seen = graph.add("Cast", [PICTURE], to=TensorProto.FLOAT)
    lost = graph.add("ReduceMax", [seen], axes=[1], keepdims=1)
    lost = graph.add("Less", [lost, graph.constant(np.array(0.5, np.float32))])
    seen = graph.add("Where", [lost, graph.constant(net.arrays["usual"][None]), seen])
    levels = add_backbone(graph, net.backbone, seen)
    there = graph.add("Sub", [graph.constant(np.ones(1, np.float32)), graph.add("Cast", [lost], to=TensorProto.FLOAT)])
    stages, refined = [], []
    for k, level in enumerate(net.backbone.spec.levels):
        kernel = graph.constant(net.arrays[f"mix{k}.weight"][:, :, None, None])
        mixed = graph.add(
            "Conv",
            [_told(graph, net, k, levels[level.name], there), kernel, graph.constant(net.arrays[f"mix{k}.bias"])],
        )
        mixed = graph.add("Relu", [mixed])
        pools = [graph.add("Flatten", [graph.add(kind, [mixed])]) for kind in ("GlobalAveragePool", "GlobalMaxPool")]
        stages.append(_dense(graph, net, f"image{k}", graph.add("Concat", pools, axis=1)))
        refined.append(_dense(graph, net, f"refine{k}", stages[-1]))
    every = graph.add("Relu", [graph.add("Concat", stages, axis=1)])
    logit = _dense(graph, net, "image", every)
    embedding = graph.add("Concat", refined, axis=1)
    return {"image": graph.add("Sigmoid", [logit]), "embedding": embedding, "stages": every}


def _told(graph: GraphBuilder, net: Oanet, k: int, level: str, there: str) -> str:
    """By place, when the backbone is kept as it is: a place counts by the share of its pixels that is `there`."""
    if not net.kept:
        return level
    off = graph.add("Sub", [level, graph.constant(net.arrays[f"place{k}.mean"][None])])
    off = graph.add("Mul", [off, graph.constant(net.arrays[f"place{k}.scale"][None])])
    limits = [graph.constant(np.array(end, np.float32)) for end in (-MOST_DEVIATION, MOST_DEVIATION)]
    off = graph.add("Clip", [off, *limits])
    stride = [net.backbone.spec.levels[k].stride_px] * 2
    off = graph.add("Mul", [off, graph.add("AveragePool", [there], kernel_shape=stride, strides=stride)])
    return graph.add("Concat", [off, graph.add("Abs", [off])], axis=1)


def _with_fields(graph: GraphBuilder, net: Oanet, embedding: str, image: str) -> dict[str, str]:
    zero = graph.constant(np.zeros(1, np.float32))
    lost = graph.add("Greater", [MISSING, graph.constant(np.full(1, 0.5, np.float32))])
    z = graph.add("Sub", [FIELDS, graph.constant(net.arrays["fields.mean"])])
    z = graph.add("Mul", [z, graph.constant(net.arrays["fields.scale"])])
    z = graph.add("Where", [lost, zero, z])  # a missing value may be NaN: choosing forgets it, multiplying would not
    value, stages = graph.add("Concat", [z, graph.add("Cast", [lost], to=TensorProto.FLOAT)], axis=1), []
    for k in range(N_STAGES):
        value = graph.add("Relu", [_dense(graph, net, f"hidden{k}", value)])
        stages.append(graph.add("Relu", [_dense(graph, net, f"external{k}", value)]))
    external = _dense(graph, net, "external", graph.add("Concat", stages, axis=1))
    every = graph.add("Concat", [embedding, image, *stages], axis=1)
    joint = graph.add("Relu", [_dense(graph, net, "joint", every)])
    fused = _dense(graph, net, "fused", joint)
    return {"external": graph.add("Sigmoid", [external]), "fused": graph.add("Sigmoid", [fused])}


def _dense(graph: GraphBuilder, net: Oanet, name: str, value: str) -> str:
    weight, bias = (graph.constant(net.arrays[f"{name}.{part}"]) for part in ("weight", "bias"))
    return graph.add("Gemm", [value, weight, bias], transB=1)


@dataclass(frozen=True, slots=True, eq=False)
class OanetVoices:
    """What the network says of N parts: probabilities (N,) of a defect, and the picture's embedding (N, E)."""

    image: NDArray[np.float32]
    external: NDArray[np.float32]
    fused: NDArray[np.float32]
    embedding: NDArray[np.float32]


class OanetSession:
    """A loaded graph. Not for two threads at once."""

    def __init__(self, model: bytes, backend: str = "onnxruntime", n_threads: int = 1) -> None:
        """Raises: SetupError when the model cannot be loaded by `backend`: onnxruntime, openvino or tensorrt."""
        try:
            self._run = _loaders()[backend](model, n_threads)
        except KeyError as exc:
            raise SetupError(f"OANet runs on {' or '.join(_loaders())}, not on {backend!r}") from exc
        except SetupError:
            raise
        except Exception as exc:
            raise SetupError(f"the OANet model cannot be loaded by {backend}: {exc}; train the bundle again") from exc

    def infer(self, pictures: NDArray[np.uint8], fields: NDArray[np.float64]) -> OanetVoices:
        """Args: pictures: (N, 3, side, side) uint8 RGB. fields: (N, F), NaN where missing.

        Raises: EngineFault when the backend fails or its answer is not finite.
        """
        missing = np.isnan(fields)
        given = {PICTURE: pictures, FIELDS: np.where(missing, 0, fields).astype(np.float32),
                 MISSING: missing.astype(np.float32)}  # fmt: skip
        try:
            found = self._run(given)
        except Exception as exc:
            raise EngineFault(f"OANet failed on pictures {pictures.shape} and fields {fields.shape}: {exc}") from exc
        if not all(bool(np.isfinite(each).all()) for each in found.values()):
            raise EngineFault("OANet gave numbers that are not finite; train the bundle again")
        return OanetVoices(found["image"][:, 0], found["external"][:, 0], found["fused"][:, 0], found["embedding"])

    def image_alone(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N,) probabilities, of a graph that has the image branch only."""
        return np.asarray(self._run({PICTURE: pictures})["image"][:, 0], np.float32)


def backend_difference(model: bytes, pictures: NDArray[np.uint8], fields: NDArray[np.float64], backend: str) -> float:
    """Greatest difference of `backend` from ONNX Runtime on these parts; it holds up to TOLERANCE.

    Probabilities as they are; the embedding in shares of its standard deviation.
    """
    ours, theirs = (OanetSession(model, name).infer(pictures, fields) for name in ("onnxruntime", backend))
    apart = [float(np.abs(getattr(ours, name) - getattr(theirs, name)).max()) for name in OUTPUTS[:3]]
    spread = max(float(ours.embedding.std()), 1e-6)
    return max(*apart, float(np.abs(ours.embedding - theirs.embedding).max()) / spread)


def _loaders() -> Mapping[str, Any]:
    return {"onnxruntime": _onnxruntime, "openvino": _openvino, "tensorrt": _tensorrt}


def _onnxruntime(model: bytes, n_threads: int) -> Any:
    session = cpu_session(model, cpu_options(n_threads))
    names, wanted = [each.name for each in session.get_outputs()], [each.name for each in session.get_inputs()]
    return lambda given: dict(zip(names, session.run(names, {name: given[name] for name in wanted}), strict=True))


def _openvino(model: bytes, n_threads: int) -> Any:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": n_threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32",
                "PERFORMANCE_HINT": "LATENCY"}  # fmt: skip
    compiled = core.compile_model(core.read_model(model), "CPU", settings)
    request = compiled.create_infer_request()
    names = [next(name for name in OUTPUTS if name in output.get_names()) for output in compiled.outputs]

    def run(given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        found = request.infer(given)
        return {name: np.array(found[output]) for name, output in zip(names, compiled.outputs, strict=True)}

    return run


def _tensorrt(model: bytes, n_threads: int) -> Any:
    from engines.backends.tensorrt_network import TensorRtNetwork

    network = TensorRtNetwork.load(model, hashlib.sha256(model).hexdigest())

    def run(given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        rows = ({name: each[i : i + 1] for name, each in given.items()} for i in range(len(given[PICTURE])))
        found = [network.run(row) for row in rows]
        return {name: np.concatenate([one[name] for one in found]) for name in network.outputs}

    weakref.finalize(run, network.close)
    return run

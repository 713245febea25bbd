"""What fusing costs a frame: the whole verdict beside the image branch alone, batch 1, both from the same network."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.result import Json
from engines.oanet_graph import OanetSession, backend_difference, oanet_graph
from engines.oanet_lessons import CLEAN
from pipeline.fusion import Voices
from pipeline.gate import StationGate, lost_share
from pipeline.oanet_training import Fusion

N_THREADS, N_WARM_UP = 2, 20


def fusion_cost(fusion: Fusion, values: NDArray[np.float64], n_runs: int = 300) -> dict[str, Json]:
    """Medians of milliseconds, taken in turn, of each backend; greatest difference of OpenVINO from ONNX Runtime."""
    lessons = fusion.trainer.lessons
    net = fusion.trainer.network()
    whole, image = oanet_graph(net), oanet_graph(net, ("image",))
    picture, row = lessons.images_uint8(np.array([0]), CLEAN), values[:1]
    figures: dict[str, Json] = {}
    for backend in ("onnxruntime", "openvino"):
        session, alone = OanetSession(whole, backend, N_THREADS), OanetSession(image, backend, N_THREADS)
        station = StationGate(fusion.reference)
        taken = _in_turn(
            {
                "image": lambda alone=alone: alone.image_alone(picture),  # type: ignore[misc]
                "verdict": lambda session=session, station=station: verdict(fusion, session, station, picture, row),  # type: ignore[misc]
            },
            n_runs,
        )
        added = taken["verdict"] - taken["image"]
        figures[backend] = {
            "image_branch_ms": round(float(np.median(taken["image"])), 3),
            "whole_verdict_ms": round(float(np.median(taken["verdict"])), 3),
            "added_ms": round(float(np.median(added)), 3),
            "added_fastest_ms": round(float(taken["verdict"].min() - taken["image"].min()), 3),
        }
    some = np.arange(min(64, len(values)))
    fields = fusion.bag.description.describe(values[some])
    figures["openvino_difference"] = backend_difference(whole, lessons.images_uint8(some, CLEAN), fields, "openvino")
    return figures


def verdict(
    fusion: Fusion, session: OanetSession, station: StationGate, picture: NDArray[np.uint8], row: NDArray[np.float64]
) -> float:
    """Probability of a defect of one part, everything counted: network, trees, gate, rule."""
    described = fusion.bag.description.describe(row)
    heard = session.infer(picture, described)
    gate = station.update(heard.embedding[0], row[0], lost_share(picture[0])).gate
    voices = Voices(
        heard.image.astype(np.float64), fusion.bag.trees.predict(described), heard.fused.astype(np.float64),
        np.array([gate.image]),
    )  # fmt: skip
    return float(fusion.rule.probability(voices)[0])


def _in_turn(steps: Mapping[str, Callable[[], object]], n: int) -> dict[str, NDArray[np.float64]]:
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(N_WARM_UP + n):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: np.array(ms[N_WARM_UP:]) for name, ms in taken.items()}

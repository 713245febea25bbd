"""The paper's matching network beside the FFT search: which of them finds the better start, and in what time?

Trains the network on a real product (mvtec_screw where its pictures are at hand, else the demo's plate), then lets
both place the same frames of known pose, and unseen real parts: alone, and as the start of the whole alignment. `ours`
and `baseline` are milliseconds of CPU time a frame of the whole alignment, from the network's start (ONNX Runtime,
one thread) and from the search's. Needs torch; minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.align import Subject, Tally, subject_of
from benchmarks.align_truth import Product, data_folder, expose, load_products
from benchmarks.result import BenchResult, Json, machine
from engines.align import Aligner
from engines.align_levels import pyramid, smooth
from engines.align_pose import PoseFinder
from engines.align_search import search
from engines.align_template import reduce_picture
from engines.geometry import Transform
from engines.imm_graph import build_imm
from engines.imm_start import NetworkStart
from engines.imm_training import GoodPart, ImmSettings, train_imm
from schemas.errors import SetupError
from schemas.verdict import AlignmentStatus

Grey = NDArray[np.uint8]

_N_PARTS, _N_UNSEEN = 24, 24


def run(
    steps: int = 1500, frames: int = 200, picture: Path | None = None, checkpoint: Path | None = None
) -> BenchResult:
    """Train for `steps` (and a tenth more by the paper's own loss), then measure on `frames`.

    Args: picture: where to save before and after (PNG). checkpoint: where training goes on from.
    """
    cv2.setNumThreads(1)
    products, _ = load_products(data_folder())
    product = products[min(1, len(products) - 1)]
    subject = subject_of(product)
    finder = subject.aligner.finder
    if finder is None:
        raise SetupError("the benchmark needs a model of motion")
    parts = _good_parts(subject, product)
    known, unseen = parts[:_N_PARTS], parts[_N_PARTS : _N_PARTS + _N_UNSEEN]
    settings = ImmSettings(n_steps=steps, n_paper_steps=steps // 10)
    began = time.perf_counter()
    weights = train_imm(subject.template, known, settings, checkpoint=checkpoint, report=_progress)
    seconds = time.perf_counter() - began
    model = build_imm(subject.template, weights)
    network, start_net = _session(model), NetworkStart.load(model)
    from_network = subject.aligner.settings.model_copy(update={"start": "network"})
    whole = {"search": subject.aligner, "network": Aligner.build(subject.template, from_network, model)}
    rng = np.random.default_rng(17)
    learned, searched, after = Tally(), Tally(), Tally()
    all_in = {name: Tally() for name in whole}
    shown: list[NDArray[np.float32]] = []
    for _ in range(frames):
        truth = subject.truth(rng)
        frame = expose(product.frame(truth), settings.noise, rng)
        base = smooth(frame)
        start = time.thread_time()
        guess = start_net.start(base)
        _count(learned, subject, guess, truth, start)
        start = time.thread_time()
        found = search(finder.bank, pyramid(base, len(finder.levels))[-1], 1)[0]
        _count(searched, subject, found, truth, start)
        if guess is not None:
            start = time.thread_time()
            _count(after, subject, finder.refine(base, guess), truth, start)
        for name, aligner in whole.items():
            start = time.thread_time()
            result = aligner.align(frame)
            _count(all_in[name], subject, result.transform, truth, start)
            all_in[name].n_refused += result.status is AlignmentStatus.MISALIGNED
        if len(shown) < 6:
            shown.append(np.hstack((frame, network.run(None, {"frame": frame[None, None]})[1][0, 0])))
    if picture is not None and not cv2.imwrite(str(picture), np.vstack(shown).astype(np.uint8)):
        raise SetupError(f"the picture of before and after could not be written to {picture}")
    figures: dict[str, Json] = {
        "unit": "ms of CPU time a frame of the whole alignment, one thread",
        "product": product.name,
        "n_good_parts": len(known),
        "training_s": round(seconds, 1),
        "capture_range": f"{settings.max_angle_deg:.0f} degrees, {settings.max_shift:.0%} of the picture",
        "all_in_from_network": all_in["network"].figures(),
        "all_in_from_search": all_in["search"].figures(),
        "learned_start": learned.figures(),
        "search_start": searched.figures(),
        "learned_start_then_refined": after.figures(),
        "unseen_parts": len(unseen),
        "unseen_parts_all_in_ms": {
            name: float(np.median([_align_ms(aligner, part) for part in unseen])) if unseen else None
            for name, aligner in whole.items()
        },
        "unseen_parts_refined_to_the_same_pose": _same_pose(finder, subject, network, unseen),
        "largest_difference_to_openvino_px": _openvino_difference_px(model, network, subject, rng),
    }
    ours, baseline = (float(np.median(all_in[name].times_ms)) for name in ("network", "search"))
    return BenchResult("imm", ours, baseline, baseline / ours, figures, machine())


def _good_parts(subject: Subject, product: Product) -> list[GoodPart]:
    """Real good parts other than the template's, with the pose our aligner finds; none for the demo's plate."""
    parts = []
    for path in sorted((data_folder() / product.name / "train" / "good").glob("*.png"))[1 : 1 + _N_PARTS + _N_UNSEEN]:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            continue
        frame = reduce_picture(np.asarray(picture, np.uint8), product.frame_size)
        result = subject.aligner.align(frame)
        if result.status is AlignmentStatus.ALIGNED:
            parts.append(GoodPart(frame, result.transform))
    return parts


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options)


def _count(tally: Tally, subject: Subject, found: Transform | None, truth: Transform, start: float) -> None:
    tally.times_ms.append((time.thread_time() - start) * 1e3)
    error_px, error_deg = subject.errors(found, truth)
    tally.errors_px.append(error_px)
    tally.errors_deg.append(error_deg)


def _align_ms(aligner: Aligner, part: GoodPart) -> float:
    start = time.thread_time()
    aligner.align(part.picture)
    return (time.thread_time() - start) * 1e3


def _same_pose(
    finder: PoseFinder, subject: Subject, network: onnxruntime.InferenceSession, parts: Sequence[GoodPart]
) -> float | None:
    """Share of unseen parts that refinement brings from the learned start to the pose found from the search."""
    if not parts:
        return None
    n_same = 0
    for part in parts:
        transform, _ = network.run(None, {"frame": part.picture[None, None]})
        refined = finder.refine(smooth(part.picture), transform[0].astype(np.float64))
        n_same += subject.errors(refined, part.transform)[0] < 0.5
    return n_same / len(parts)


def _openvino_difference_px(
    model: bytes, network: onnxruntime.InferenceSession, subject: Subject, rng: np.random.Generator
) -> float:
    """Largest distance between the places where ONNX Runtime and OpenVINO put a corner of the template."""
    import openvino

    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    other = openvino.compile_model(openvino.Core().read_model(model), "CPU", options)
    width, height = subject.product.frame_size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64).T
    apart = []
    for _ in range(20):
        frame = expose(subject.product.frame(subject.truth(rng)), 0.02, rng)[None, None]
        one, two = network.run(None, {"frame": frame})[0], other(frame)["transform"]
        apart.append(float(np.abs((one - two) @ corners).max()))
    return max(apart)


def _progress(step: int, total: int, loss: float) -> None:
    if step % 100 == 0 or step == total:
        print(f"imm: step {step} of {total}, loss {loss:.4g}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500, help="training steps of 32 frames")
    parser.add_argument("--frames", type=int, default=200, help="frames to measure on")
    parser.add_argument("--picture", type=Path, help="save frames before and after the network here (PNG)")
    parser.add_argument("--checkpoint", type=Path, help="file that broken-off training goes on from (.npz)")
    asked = parser.parse_args()
    print(run(asked.steps, asked.frames, asked.picture, asked.checkpoint).to_json())

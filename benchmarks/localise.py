"""`sightline bench localise`: what localising costs, beside ResNet-18's trunk and beside the naive chain.

Plates at 1024x1024 as JPEG, inspected at 256x256 by a bundle trained here, 2 threads, batch 1. `baseline` is the
forward pass of ONNX Runtime, float32, through the ResNet-18 trunk (conv1 to layer3) alone, `ours` the whole score grid
from the backend that `auto` takes here; medians of milliseconds, taken in turn. The chain is decode, align,
localise, verdict by `Inspector.inspect`, against full decode, findTransformECC, trunk and distance; `naive_full` does
findTransformECC on the full frame, which is slower. `inspect` and `chain_ratio` are of the bundle that `sightline
train` gives by itself (`decode_reduction`: at which fraction of their size it decodes frames); the same trained with
`--decode-reduction 1` and `4` stand beside it as `inspect_1`, `inspect_4`, with their steps. EfficientAD-S is timed
beside ours with random weights. Memory is that of a process which has loaded an Inspector and inspected, and of what
such a process needs before.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_cases import resnet18_weights
from benchmarks.localise_efficientad import efficientad_s
from benchmarks.localise_peers import NaiveChain, trunk
from benchmarks.plate_bundle import train_plates
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from engines.backends.choose import choose_backend
from engines.bundle import Bundle
from engines.engine import BACKENDS, Engine, load_backend
from engines.manifest import Reduction
from pipeline.decode import decode
from pipeline.inspection import InspectionRequest, Inspector, RecipeRules
from pipeline.plate import SimulatedLine
from pipeline.preparation import Preparation
from pipeline.training import TrainSettings
from schemas.errors import InputError, SetupError

FRAME_SIDE_PX, INPUT_SIDE_PX = 1024, 256
N_THREADS, N_GOOD, N_PICTURES, N_WARM_UP = 2, 40, 8, 5
OTHER_REDUCTIONS: tuple[Reduction, ...] = (1, 4)
N_SLOW = 12
"""Runs, at most, of what takes a tenth of a second or more."""
_MEMORY = """
import sys, psutil
def held(): return psutil.Process().memory_full_info().uss / 2**20
import cv2, numpy, numba, onnxruntime
before = held()
from engines.bundle import Bundle
from pipeline.inspection import Inspector, InspectionRequest, RecipeRules
bundle = Bundle.open(sys.argv[1])
inspector = Inspector(bundle, backend=sys.argv[2], n_threads=2)
rules, content = RecipeRules.of_manifest(bundle.manifest), open(sys.argv[3], "rb").read()
for _ in range(20): inspector.inspect([InspectionRequest(content, "image/jpeg")], rules)
print(before, held())
"""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of each run of one step."""

    ms: NDArray[np.float64]

    @property
    def median(self) -> float:
        return float(np.median(self.ms))

    def figures(self) -> dict[str, Json]:
        """Median and fastest."""
        return {"median_ms": round(self.median, 3), "fastest_ms": round(float(self.ms.min()), 3)}


def run(frames: int = 60) -> BenchResult:
    """Measure. Args: frames: runs of each step."""
    weights = resnet18_weights()
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as made:
        folder = Path(made)
        say("training a bundle on plates")
        settings = TrainSettings(input_px=INPUT_SIDE_PX, n_threads=N_THREADS)
        path = train_plates(folder, N_GOOD, FRAME_SIDE_PX, settings)
        bundle = Bundle.open(path)
        others = [Bundle.open(_train_as(folder, settings, each)) for each in OTHER_REDUCTIONS]
        jpegs = _jpegs()
        backend = choose_backend(bundle, N_THREADS).backend
        say(f"measuring; backend {backend}")
        session = trunk(weights, INPUT_SIDE_PX, N_THREADS)
        forward = _forward(bundle, session, frames)
        peer = _efficientad(bundle, backend, min(frames, N_SLOW))
        chain = _chain(bundle, others, session, jpegs, backend, frames)
        chain |= _slow_chain(bundle, session, jpegs, min(frames, N_SLOW))
        (folder / "frame.jpg").write_bytes(jpegs[0])
        memory = {name: _memory_mb(path, name, folder / "frame.jpg") for name in {backend, "onnxruntime"}}
    ours, baseline = forward[backend].median, forward["trunk"].median
    whole, naive = chain["inspect"].median, chain["naive"].median
    say(f"forward {baseline / ours:.1f} times the trunk's speed, chain {naive / whole:.1f} times the naive one's")
    for each in OTHER_REDUCTIONS:
        say(f"decoded at 1/{each} of the size: {naive / chain[f'inspect_{each}'].median:.1f} times")
    figures: dict[str, Json] = {
        "unit": "ms",
        "n_runs": frames,
        "threads": N_THREADS,
        "backend": backend,
        "trunk_weights": "given" if weights else "random",
        "forward": {name: each.figures() for name, each in forward.items()},
        "chain": {name: each.figures() for name, each in chain.items()},
        "decode_reduction": bundle.manifest.decode_reduction,
        "chain_ratio": naive / whole,
        **{f"chain_ratio_{each}": naive / chain[f"inspect_{each}"].median for each in OTHER_REDUCTIONS},
        "full_chain_ratio": chain["naive_full"].median / whole,
        "efficientad": {name: each.figures() for name, each in peer.items()},
        "efficientad_ratio": peer["efficientad_s"].median / peer[backend].median,
        "memory_mb": memory,
    }
    return BenchResult("localise", ours, baseline, baseline / ours, figures, machine())


def _train_as(folder: Path, settings: TrainSettings, reduction: Reduction) -> Path:
    """A bundle of the same plates, as `sightline train --decode-reduction` makes it."""
    apart = folder / f"decoded-at-{reduction}"
    apart.mkdir()
    return train_plates(apart, N_GOOD, FRAME_SIDE_PX, replace(settings, decode_reduction=reduction))


def _jpegs() -> list[bytes]:
    line = SimulatedLine(size_px=FRAME_SIDE_PX, defect_rate=0.0)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
    return [cv2.imencode(".jpg", line.unit(i).picture, quality)[1].tobytes() for i in range(N_PICTURES)]


def _forward(bundle: Bundle, session: object, n: int) -> dict[str, Times]:
    """The trunk and every backend of this machine on one prepared tensor."""
    rng = np.random.default_rng(0)
    tensor = rng.integers(0, 256, (1, 3, INPUT_SIDE_PX, INPUT_SIDE_PX), np.uint8)
    engines: dict[str, Engine] = {}
    for name in BACKENDS:
        try:
            engines[name] = load_backend(bundle, name, N_THREADS)
        except SetupError as missing:
            say(f"{name} is left out: {missing}")
    steps: dict[str, Callable[[int], object]] = {
        "trunk": lambda i: session.run(None, {"picture": tensor}),  # type: ignore[attr-defined]
        **{name: (lambda i, engine=engine: engine.infer(tensor)) for name, engine in engines.items()},  # type: ignore[misc]
    }
    times = _in_turn(steps, n)
    for engine in engines.values():
        engine.close()
    return times


def _efficientad(bundle: Bundle, backend: str, n: int) -> dict[str, Times]:
    """EfficientAD-S and our engine, in turn, on one tensor of EfficientAD's size."""
    tensor = np.random.default_rng(0).integers(0, 256, (1, 3, INPUT_SIDE_PX, INPUT_SIDE_PX), np.uint8)
    engine, session = load_backend(bundle, backend, N_THREADS), efficientad_s(N_THREADS)
    times = _in_turn(
        {
            "efficientad_s": lambda i: session.run(None, {"picture": tensor}),
            backend: lambda i: engine.infer(tensor),
        },
        n,
    )
    engine.close()
    return times


def _slow_chain(bundle: Bundle, session: object, jpegs: list[bytes], n: int) -> dict[str, Times]:
    naive = NaiveChain(session, bundle.template_grey(), ecc_side_px=FRAME_SIDE_PX)
    return _in_turn({"naive_full": lambda i: naive.score(jpegs[i % len(jpegs)])}, n)


def _chain(
    bundle: Bundle, others: Sequence[Bundle], session: object, jpegs: list[bytes], backend: str, n: int
) -> dict[str, Times]:
    """The naive chain in turn with ours, whole and by steps: `bundle` as it is, `others` named by their reduction."""
    naive = NaiveChain(session, bundle.template_grey())
    steps: dict[str, Callable[[int], object]] = {}
    inspectors = []
    for each in (bundle, *others):  # in such an order that every whole chain follows a warp
        inspectors.append(Inspector(each, backend=backend, n_threads=N_THREADS))
        suffix = "" if each is bundle else f"_{each.manifest.decode_reduction}"
        whole, *parts = _steps(each, inspectors[-1], jpegs).items()
        steps[f"{whole[0]}{suffix}"] = whole[1]
        if each is bundle:
            steps["naive"] = lambda i: naive.score(jpegs[i % len(jpegs)])
        steps |= {f"{name}{suffix}": step for name, step in parts}
    times = _in_turn(steps, n)
    for inspector in inspectors:
        inspector.close()
    return times


def _steps(bundle: Bundle, inspector: Inspector, jpegs: list[bytes]) -> dict[str, Callable[[int], object]]:
    """The whole of the chain, then its steps alone."""
    preparation, rules = Preparation.of_bundle(bundle), RecipeRules.of_manifest(bundle.manifest)
    pictures = [decode(jpeg, "image/jpeg", preparation.decode_rules) for jpeg in jpegs]
    placed = [preparation.align(picture).transform for picture in pictures]

    def at(i: int) -> int:
        return i % len(jpegs)

    return {
        "inspect": lambda i: inspector.inspect([InspectionRequest(jpegs[at(i)], "image/jpeg")], rules, "none"),
        "decode": lambda i: decode(jpegs[at(i)], "image/jpeg", preparation.decode_rules),
        "align": lambda i: preparation.align(pictures[at(i)]),
        "warp": lambda i: preparation.warp(pictures[at(i)], placed[at(i)]),
    }


def _in_turn(steps: Mapping[str, Callable[[int], object]], n: int) -> dict[str, Times]:
    """Each step `n` times, in turn, so that other load on the machine hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(N_WARM_UP + n):
        for name, step in steps.items():
            start = time.perf_counter()
            step(i)
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: Times(np.array(ms[N_WARM_UP:])) for name, ms in taken.items()}


def _memory_mb(bundle: Path, backend: str, frame: Path) -> dict[str, Json]:
    """Unique set size of a process before and after it loaded an Inspector and inspected 20 frames."""
    command = [sys.executable, "-c", _MEMORY, str(bundle), backend, str(frame)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise InputError(f"the memory measurement failed: {done.stderr.strip()[-300:]}")
    before, after = (float(word) for word in done.stdout.split())
    return {"libraries": round(before), "worker": round(after)}

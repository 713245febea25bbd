"""`sightline bench align`: accuracy and speed of the alignment beside what one can install, on known poses.

Every frame is a real good picture (or the demo's plate), moved by a pose drawn over the whole circle and up to 24
pixels either way, sampled as a camera does, with noise. Times are CPU time of one thread, medians. `ours` and
`baseline` are milliseconds a frame of refinement from the same coarse start: ours, and cv2.findTransformECC.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import align_peers
from benchmarks.align_learned import load_xfeat
from benchmarks.align_real import real_parts
from benchmarks.align_refusal import refusals, upper_bound
from benchmarks.align_truth import Product, data_folder, expose, load_products, paste_defect
from benchmarks.result import BenchResult, Json, machine
from engines.align import Aligner, AlignSettings
from engines.align_levels import pyramid, smooth
from engines.align_pose import PoseFinder
from engines.align_search import search
from engines.geometry import Transform, apply, motion, pose
from schemas.errors import MissingExtra, SetupError
from schemas.verdict import AlignmentStatus

NOISES = (0.0, 0.02, 0.05)
DEFECTS_PX = (16, 32, 64)
_MANY = 4
"""Times as many frames at 2 % noise, where failures are to be rarer than one in a thousand."""
_SELDOM = 4
"""Peers of the extra `bench` see one frame in so many."""
_SHIFT_PX, _FAILED_PX, _LOST_PX = 24.0, 1.0, 1e3

Grey = NDArray[np.uint8]
Peer = Callable[[Grey, Grey], Transform | None]


@dataclass(slots=True)
class Tally:
    """Errors and times of one method on one set of frames."""

    errors_px: list[float] = field(default_factory=list)
    errors_deg: list[float] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)
    n_refused: int = 0
    n_silent: int = 0
    """Frames lost by more than a pixel and yet not refused."""

    def merge(self, other: Tally) -> None:
        self.errors_px += other.errors_px
        self.errors_deg += other.errors_deg
        self.times_ms += other.times_ms
        self.n_refused += other.n_refused
        self.n_silent += other.n_silent

    def figures(self) -> dict[str, Json]:
        """Quantiles over all frames (a lost frame counts as 1000 px), share beyond 1 px, median time.

        `failure_rate_at_most`: the upper end of that share's interval of 95 % (Clopper and Pearson).
        """
        errors, turns = np.array(self.errors_px), np.array(self.errors_deg)
        return {
            "n_frames": len(errors),
            "p50_px": _rounded(np.quantile(errors, 0.5)),
            "p95_px": _rounded(np.quantile(errors, 0.95)),
            "p99_px": _rounded(np.quantile(errors, 0.99)),
            "p50_deg": _rounded(np.quantile(turns, 0.5)),
            "p95_deg": _rounded(np.quantile(turns, 0.95)),
            "p99_deg": _rounded(np.quantile(turns, 0.99)),
            "failure_rate": _rounded((errors > _FAILED_PX).mean()),
            "failure_rate_at_most": _rounded(upper_bound(int((errors > _FAILED_PX).sum()), len(errors))),
            "refused_rate": _rounded(self.n_refused / len(errors)),
            "silent_rate": _rounded(self.n_silent / len(errors)),
            "ms_per_frame": _rounded(np.median(self.times_ms)),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A product with its aligner. `points` (n, 2): template pixels on the part, where errors are measured."""

    product: Product
    template: Grey
    aligner: Aligner
    points: NDArray[np.float64]

    def truth(self, rng: np.random.Generator) -> Transform:
        """A pose anywhere on the circle."""
        dx, dy = rng.uniform(-_SHIFT_PX, _SHIFT_PX, 2)
        size = self.product.frame_size
        return motion(size, size, float(dx), float(dy), float(rng.uniform(-180, 180)))

    def errors(self, found: Transform | None, truth: Transform) -> tuple[float, float]:
        """Root mean square distance over the part in px, and the turn's error in degrees."""
        if found is None or not np.isfinite(found).all():
            return _LOST_PX, 180.0
        apart = apply(found, self.points) - apply(truth, self.points)
        size = self.product.frame_size
        turn = pose(found, size, size).angle_deg - pose(truth, size, size).angle_deg
        return float(np.sqrt((apart**2).sum(axis=1).mean())), abs((turn + 180.0) % 360.0 - 180.0)


def run(frames: int = 200, seed: int = 11) -> BenchResult:
    """Run it: minutes at 200 `frames` a condition; peers see half as many, and 5000 good plates are tried at 200."""
    cv2.setNumThreads(1)
    products, missing = load_products(data_folder())
    report: dict[str, Json] = {}
    pooled, total = {"ours": Tally(), "refine": Tally(), "ecc": Tally()}, Tally()
    bounds, rates = [], []
    extra, absent = _extra_peers()
    for index, product in enumerate(products):
        print(f"align: {product.name} ({index + 1} of {len(products)})", file=sys.stderr, flush=True)
        subject = subject_of(product)
        rng = np.random.default_rng([seed, index])
        counts = {noise: _MANY * frames if noise == 0.02 else frames for noise in NOISES}
        noises = {f"{noise:.0%}": _accuracy(subject, counts[noise], noise, 0, rng) for noise in NOISES}
        defects = {f"{size} px": _accuracy(subject, frames // 2, 0.02, size, rng) for size in DEFECTS_PX}
        peers = _peers(subject, max(frames // 2, 10), rng, extra)
        bounds.append(bound_px(subject, 0.02 * 255))
        rates.append(_frames_per_s(subject, min(frames, 100), rng))
        pooled["ours"].merge(noises["2%"])
        for name in ("refine", "ecc"):
            pooled[name].merge(peers[name])
        for tally in (*noises.values(), *defects.values()):
            total.merge(tally)
        report[product.name] = {
            "crlb_px": _rounded(bounds[-1]),
            "by_noise": {name: tally.figures() for name, tally in noises.items()},
            "by_defect": {name: tally.figures() for name, tally in defects.items()},
            "peers": {name: tally.figures() for name, tally in peers.items()},
        }
    headline = pooled["ours"].figures()
    ours, baseline = float(np.median(pooled["refine"].times_ms)), float(np.median(pooled["ecc"].times_ms))
    figures: dict[str, Json] = {
        "unit": "ms a frame of refinement from the same start, CPU time of one thread",
        **headline,
        "crlb_px": _rounded(np.sqrt(np.mean(np.square(bounds)))),
        "failure_rate_all_conditions": total.figures()["failure_rate"],
        "silent_rate_all_conditions": total.figures()["silent_rate"],
        "n_frames_all_conditions": len(total.errors_px),
        "frames_per_s": _rounded(np.median([one for one, _ in rates])),
        "frames_per_s_all_cores": _rounded(np.median([several for _, several in rates])),
        "ratio_all_in": _rounded(baseline / float(np.median(pooled["ours"].times_ms))),
        "products": report,
        "refusals": refusals(data_folder(), 25 * frames),
        "real_parts": real_parts(data_folder()),
        "missing": missing,
        "missing_peers": absent,
    }
    return BenchResult("align", ours, baseline, baseline / ours, figures, machine())


def bound_px(subject: Subject, sigma_grey: float) -> float:
    """Cramer-Rao bound of the root mean square distance over the part, for rigid motion, gain and bias unknown.

    Fisher information of the unblurred template under white noise of `sigma_grey` in the frame alone; slopes by central
    differences. Source: Kay, "Fundamentals of Statistical Signal Processing", 1993, section 3.9.
    """
    grey, mask = subject.template.astype(np.float64), subject.aligner.mask
    ys, xs = np.nonzero(mask)
    slope_y, slope_x = np.gradient(grey, axis=0), np.gradient(grey, axis=1)
    ex, ey, x, y = slope_x[mask], slope_y[mask], xs - xs.mean(), ys - ys.mean()
    images = np.stack([ex, ey, ex * y - ey * x, grey[mask], np.ones(x.size)])
    covariance = np.linalg.inv(images @ images.T) * sigma_grey**2
    return float(np.sqrt(covariance[0, 0] + covariance[1, 1] + covariance[2, 2] * (x**2 + y**2).mean()))


def subject_of(product: Product) -> Subject:
    """`product` with its template and an aligner that takes any pose."""
    template = product.template()
    inside = 0.3 if product.fills_picture else 0.8
    aligner = Aligner.build(template, AlignSettings(residual_limit=0.4, min_inside=inside))
    ys, xs = np.nonzero(aligner.mask)
    return Subject(product, template, aligner, np.stack([xs, ys], axis=1)[::37].astype(np.float64))


def _accuracy(subject: Subject, n_frames: int, noise: float, defect_px: int, rng: np.random.Generator) -> Tally:
    """Ours, all in, on frames with this noise and a defect of this size pasted on the part."""
    tally = Tally()
    for _ in range(n_frames):
        truth = subject.truth(rng)
        light = subject.product.frame(truth)
        if defect_px:
            at = apply(truth, subject.points[rng.integers(len(subject.points))])
            light = paste_defect(light, (float(at[0]), float(at[1])), defect_px, rng)
        frame = expose(light, noise, rng)
        start = time.thread_time()
        result = subject.aligner.align(frame)
        tally.times_ms.append((time.thread_time() - start) * 1e3)
        refused = result.status is AlignmentStatus.MISALIGNED
        tally.n_refused += refused
        _count(tally, subject.errors(result.transform, truth))
        tally.n_silent += not refused and tally.errors_px[-1] > _FAILED_PX
    return tally


def _extra_peers() -> tuple[dict[str, Peer], dict[str, str]]:
    """What the extra `bench` brings, and why what is absent is."""
    found: dict[str, Peer] = {}
    absent: dict[str, str] = {}
    for name, load in (("scikit_image", align_peers.load_scikit_image), ("xfeat_lighterglue", load_xfeat)):
        try:
            found[name] = load()
        except MissingExtra as missing:
            absent[name] = f"skipped: {missing}"
    return found, absent


def _peers(subject: Subject, n_frames: int, rng: np.random.Generator, extra: Mapping[str, Peer]) -> Mapping[str, Tally]:
    """Everyone on the same frames at 2% noise; `refine`, `ecc` and `ecc_pyramid` from the same coarse start."""
    finder, template = subject.aligner.finder, subject.template
    if finder is None:
        raise SetupError(f"{subject.product.name}: the benchmark needs a model of motion")
    part = subject.aligner.mask.astype(np.uint8) * 255
    tallies = {name: Tally() for name in ("refine", "ecc", "ecc_pyramid", "orb_ransac", "log_polar", *extra)}
    for number in range(n_frames):
        truth = subject.truth(rng)
        frame = expose(subject.product.frame(truth), 0.02, rng)
        begin = search(finder.bank, pyramid(smooth(frame), len(finder.levels))[-1], 1)[0]
        methods: dict[str, Callable[[], Transform | None]] = {
            "refine": partial(_refine, finder, frame, begin),
            "ecc": partial(align_peers.ecc, template, frame, begin, part),
            "ecc_pyramid": partial(align_peers.ecc_pyramid, template, frame, begin, part),
            "orb_ransac": partial(align_peers.orb_ransac, template, frame),
            "log_polar": partial(align_peers.log_polar, template, frame),
        }
        seldom = number < max(n_frames // _SELDOM, 10)  # those that take most of a second
        methods |= {name: partial(peer, template, frame) for name, peer in extra.items() if seldom}
        for name, method in methods.items():
            start = time.thread_time()
            found = method()
            tallies[name].times_ms.append((time.thread_time() - start) * 1e3)
            _count(tallies[name], subject.errors(found, truth))
    return tallies


def _refine(finder: PoseFinder, frame: Grey, begin: Transform) -> Transform:
    return finder.refine(smooth(frame), begin)


def _frames_per_s(subject: Subject, n_frames: int, rng: np.random.Generator) -> tuple[float, float]:
    """Throughput over a batch: frames a second of CPU time by one thread, and of wall time by a thread a core."""
    frames = [expose(subject.product.frame(subject.truth(rng)), 0.02, rng) for _ in range(n_frames)]
    start = time.thread_time()
    for frame in frames:
        subject.aligner.align(frame)
    one = n_frames / (time.thread_time() - start)
    with ThreadPoolExecutor(machine().cores) as pool:
        begun = time.perf_counter()
        list(pool.map(subject.aligner.align, frames))
        several = n_frames / (time.perf_counter() - begun)
    return one, several


def _count(tally: Tally, errors: tuple[float, float]) -> None:
    tally.errors_px.append(errors[0])
    tally.errors_deg.append(errors[1])


def _rounded(value: float | np.floating[Any]) -> float:
    return float(f"{float(value):.4g}")


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 200).to_json())

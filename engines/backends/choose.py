"""Choose a backend by measurement: load each, time it on the bundle's own input, take the fastest that agrees."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.engine import BACKENDS, load_backend
from engines.parity import REFERENCE, compare, probe_frames
from schemas.errors import EngineFault, SetupError

log = logging.getLogger(__name__)
N_WARM_UP = 3
N_RUNS = 9
ADVANTAGE = 0.9
"""Another backend is taken instead of the reference only below this share of its time: no coin tosses."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One backend on this machine; `why_not` is empty when it may be chosen."""

    backend: str
    median_ms: float
    max_difference: float
    why_not: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend taken and what every candidate measured."""

    backend: str
    measurements: tuple[Measurement, ...]
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class _Loader:
    bundle: Bundle
    backend: str
    n_threads: int
    cache_dir: Path | None


def choose_backend(
    bundle: Bundle, n_threads: int = 1, *, backends: tuple[str, ...] = BACKENDS, cache_dir: Path | None = None
) -> Choice:
    """Measure `backends` on the template and variants of it, and choose.

    Raises: SetupError when not even the reference runs.
    """
    frames = probe_frames(bundle.template())
    reference, first = _measure(_Loader(bundle, REFERENCE, n_threads, cache_dir), frames, None)
    if reference is None:
        raise SetupError(f"no engine backend can run this bundle: {first.why_not}")
    measured = [first]
    measured += [
        _measure(_Loader(bundle, backend, n_threads, cache_dir), frames, reference)[1]
        for backend in backends
        if backend != REFERENCE
    ]
    rivals = [each for each in measured[1:] if not each.why_not and each.median_ms < ADVANTAGE * first.median_ms]
    best = min(rivals, key=lambda each: each.median_ms, default=first)
    why = "; ".join(
        f"{each.backend} {each.why_not}" if each.why_not else f"{each.backend} {each.median_ms:.2f} ms"
        for each in measured
    )
    log.info("engine backend %s chosen: %s", best.backend, why)
    return Choice(best.backend, tuple(measured), why)


def _measure(
    loader: _Loader, frames: list[NDArray[np.uint8]], reference: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32] | None, Measurement]:
    """Scores on `frames` and the median time of a frame; scores are None when the backend is not to be used."""
    backend = loader.backend
    try:
        engine = load_backend(loader.bundle, backend, loader.n_threads, loader.cache_dir)
    except SetupError as error:
        return None, Measurement(backend, float("inf"), float("inf"), f"not usable: {error}")
    try:
        scores = np.concatenate([engine.infer(frame[None]) for frame in frames])
        for _ in range(N_WARM_UP):
            engine.infer(frames[0][None])
        times_ms = []
        for run in range(N_RUNS):
            start = time.perf_counter()
            engine.infer(frames[run % len(frames)][None])
            times_ms.append(1000 * (time.perf_counter() - start))
    except EngineFault as fault:
        return None, Measurement(backend, float("inf"), float("inf"), f"failed: {fault}")
    finally:
        engine.close()
    median_ms = float(np.median(times_ms))
    if reference is None:
        return scores, Measurement(backend, median_ms, 0.0, "")
    difference = compare(reference, scores, loader.bundle.manifest.thresholds, lambda grid: float(grid.max()))
    why_not = "" if difference.holds else f"differs from {REFERENCE} by {difference.max_difference:.3g}"
    return scores, Measurement(backend, median_ms, difference.max_difference, why_not)

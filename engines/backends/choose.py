"""Choose a backend by measurement: load each, time it on the bundle's own input, take the fastest that agrees.

The measuring runs in a process of its own: the backends that lose leave no memory behind, and one that
crashes takes nothing with it. The choice is remembered, so that every process of a machine decides alike.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from engines.backends.choice_cache import ChoiceKey, recall, remember
from engines.bundle import Bundle
from engines.engine import BACKENDS, Engine, load_backend
from engines.parity import REFERENCE, compare, probe_frames
from schemas.errors import EngineFault, SetupError

log = logging.getLogger(__name__)
N_WARM_UP = 3
N_ROUNDS = 15
ADVANTAGE = 0.85
"""Another backend replaces the reference only below this share of its time: near ties must not depend on noise."""
TIMEOUT_S = 900.0
_CHILD = "from engines.backends.choose import main; main()"


class Measurement(BaseModel):
    """One backend on this machine. `least_ms`: its fastest run, since other load only adds; `why_not` empty: fit."""

    model_config = ConfigDict(frozen=True)

    backend: str
    least_ms: float | None
    median_ms: float | None
    max_difference: float | None
    why_not: str


class Choice(BaseModel):
    """The backend taken, what every candidate measured, and the reason in words."""

    model_config = ConfigDict(frozen=True)

    backend: str
    measurements: tuple[Measurement, ...]
    why: str


def choose_backend(
    bundle: Bundle, n_threads: int = 1, *, backends: tuple[str, ...] = BACKENDS, cache_dir: Path | None = None
) -> Choice:
    """The backend for `bundle` on this machine, remembered in `cache_dir` when one is given.

    Raises: SetupError when not even the reference runs.
    """
    key = ChoiceKey.here(bundle.sha256, n_threads, backends)
    known = recall(cache_dir, key) if cache_dir is not None else None
    if known is not None:
        try:
            return Choice.model_validate_json(known)
        except ValidationError:
            log.warning("the remembered engine choice in %s is not readable; measuring again", cache_dir)
    choice = _measure_apart(bundle, n_threads, backends, cache_dir)
    log.info("engine backend %s chosen: %s", choice.backend, choice.why)
    if cache_dir is not None and choice.measurements:
        remember(cache_dir, key, choice.model_dump_json(indent=1))
    return choice


def measure_backends(
    bundle: Bundle, n_threads: int = 1, *, backends: tuple[str, ...] = BACKENDS, cache_dir: Path | None = None
) -> Choice:
    """Measure `backends` in this process, run by run in turn, and choose.

    Raises: SetupError when not even the reference runs.
    """
    frames = probe_frames(bundle.template())
    engines: dict[str, Engine] = {REFERENCE: load_backend(bundle, REFERENCE, n_threads)}
    reference = _scores(engines[REFERENCE], frames)
    unfit: dict[str, Measurement] = {}
    differences = {REFERENCE: 0.0}
    for backend in (each for each in backends if each != REFERENCE):
        try:
            engine = load_backend(bundle, backend, n_threads, cache_dir)
            engines[backend] = engine
            manifest = bundle.manifest
            difference = compare(reference, _scores(engine, frames), manifest.thresholds, _greatest, manifest.precision)
            differences[backend] = difference.max_difference
            why_not = "" if difference.holds else f"differs from {REFERENCE} by {difference.max_difference:.3g}"
        except (SetupError, EngineFault) as error:
            why_not = str(error)
        if why_not:
            unfit[backend] = _unfit(backend, why_not, differences.get(backend))
            if backend in engines:
                engines.pop(backend).close()
    times_ms = _time_in_turn(engines, frames)
    for engine in engines.values():
        engine.close()
    fit = [
        Measurement(backend=name, least_ms=min(ms), median_ms=float(np.median(ms)), why_not="",
                    max_difference=differences[name])
        for name, ms in times_ms.items()
    ]  # fmt: skip
    return _choice([*fit, *unfit.values()])


def main() -> None:
    """The measuring process: a bundle's path, threads, backends and cache folder as arguments, a Choice on stdout."""
    path, n_threads, backends, cache_dir = sys.argv[1:5]
    folder = Path(cache_dir) if cache_dir else None
    choice = measure_backends(Bundle.open(path), int(n_threads), backends=tuple(backends.split(",")), cache_dir=folder)
    print(choice.model_dump_json())


def _measure_apart(bundle: Bundle, n_threads: int, backends: tuple[str, ...], cache_dir: Path | None) -> Choice:
    from engines.bundle import bundle_bytes

    with tempfile.TemporaryDirectory(prefix="sightline-") as folder:
        path = Path(folder) / "measured.bundle"
        path.write_bytes(bundle_bytes(bundle.manifest, bundle.members))
        command = [sys.executable, "-c", _CHILD, str(path), str(n_threads), ",".join(backends), str(cache_dir or "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, check=False
            )
            return Choice.model_validate_json(done.stdout.strip().splitlines()[-1])
        except (subprocess.TimeoutExpired, ValidationError, IndexError, OSError) as fault:
            said = done.stderr.strip().splitlines()[-1:] if isinstance(fault, ValidationError | IndexError) else [fault]
            log.warning("measuring the engine backends failed (%s); taking the reference %s", said, REFERENCE)
            load_backend(bundle, REFERENCE, n_threads).close()
            return Choice(backend=REFERENCE, measurements=(), why=f"measuring failed: {said}")


def _time_in_turn(engines: dict[str, Engine], frames: list[NDArray[np.uint8]]) -> dict[str, list[float]]:
    """Milliseconds of each run. The backends take turns, so that other load on the machine hits all alike."""
    times_ms: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(N_WARM_UP + N_ROUNDS):
        for name, engine in engines.items():
            start = time.perf_counter()
            engine.infer(frames[turn % len(frames)][None])
            if turn >= N_WARM_UP:
                times_ms[name].append(1000 * (time.perf_counter() - start))
    return times_ms


def _choice(measured: list[Measurement]) -> Choice:
    """The reference, or the fastest of those markedly faster."""
    reference = measured[0]
    assert reference.least_ms is not None
    limit = ADVANTAGE * reference.least_ms
    rivals = [each for each in measured[1:] if each.least_ms is not None and each.least_ms < limit]
    best = min(rivals, key=lambda each: each.least_ms or 0.0, default=reference)
    why = "; ".join(
        f"{each.backend} {each.why_not or f'{each.least_ms:.2f} ms at best, {each.median_ms:.2f} ms median'}"
        for each in measured
    )
    return Choice(backend=best.backend, measurements=tuple(measured), why=why)


def _unfit(backend: str, why_not: str, difference: float | None) -> Measurement:
    known = difference if difference is not None and np.isfinite(difference) else None
    return Measurement(backend=backend, least_ms=None, median_ms=None, max_difference=known, why_not=why_not)


def _scores(engine: Engine, frames: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return np.concatenate([engine.infer(frame[None]) for frame in frames])


def _greatest(grid: NDArray[np.float32]) -> float:
    return float(grid.max())

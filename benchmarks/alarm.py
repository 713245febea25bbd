"""`sightline bench alarm`: how rarely the alarm of systematic defects is false, and how soon it is right.

`figures` holds the whole map's run length to a false alarm (64x64 cells, each hit on one good part in a thousand)
and the mean delay in parts at hit rates 1, 0.5, 0.1 and for one cavity of four; beside the theoretical bound, and
beside what one would otherwise use at the same false-alarm rate: the median alone, a Shewhart chart, an EWMA. Then
the paper's two experiments, real pictures with a defect pasted in (when the data is there), and what the
root-cause agent's logic costs a frame. `ours` and `baseline`: parts until a mark on half of the parts is found, ours
and the better of Shewhart and EWMA.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import psutil

from benchmarks.alarm_paper import both_experiments
from benchmarks.alarm_real import board_film, screw_film
from benchmarks.alarm_real import figures as film_figures
from benchmarks.alarm_rivals import rival_delays
from benchmarks.alarm_theory import bound_frames, delays, false_alarms
from benchmarks.align_truth import data_folder
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from pipeline.baseline import learn_baseline
from pipeline.root_cause import RootCause
from schemas.aligned import AlignedFrame, AlignedHeader
from schemas.errors import InputError
from schemas.recipe import WindowSettings

HIT_RATES = (1.0, 0.5, 0.1)
N_EXCURSIONS, N_RUNS, LONGEST = 1_000_000, 400, 4000
N_STATIONS = 200


def run() -> BenchResult:
    """All figures; several minutes with the real pictures."""
    figures: dict[str, Json] = {"unit": "parts until a mark on half of the parts is suspected"}
    say("cost")
    figures["cost"] = cost()  # first, while the process is small and its growth is the stations'
    say("false alarms")
    rare = false_alarms(N_EXCURSIONS)
    figures["arl0_frames"] = rare["map"].arl0_frames
    figures["arl0_by_view"] = {name: asdict(view) for name, view in rare.items()}
    beside: dict[str, Json] = {}
    best_rival = np.inf
    for rate in HIT_RATES:
        say(f"delays at hit rate {rate}")
        found = delays(rate, 1, N_RUNS, LONGEST, 3)
        name = str(rate).replace(".", "_")
        figures[f"delay_hit_{name}"] = float(found.mean())
        rivals = rival_delays(rate, N_RUNS, LONGEST, 4)
        beside[f"hit_{name}"] = {
            "p90": float(np.quantile(found, 0.9)),
            "bound": bound_frames(rate),
            **rivals,
        }
        if rate == 0.5:
            best_rival = min(value for key, value in rivals.items() if value is not None and key != "median_alone")
    periodic = delays(0.0, 4, N_RUNS, 400, 5)
    figures["delay_period_4"] = float(periodic.mean())
    figures["delay_period_4_longest"] = int(periodic.max())
    figures["beside"] = beside
    say("the paper's experiments")
    figures["paper"] = {name: asdict(found) for name, found in both_experiments().items()}
    for name, film in (("mvtec_screw", screw_film), ("deeppcb", board_film)):
        say(name)
        try:
            figures[name] = film_figures(film(data_folder()))
        except InputError as missing:
            figures[name] = f"skipped: {missing}"
    ours = figures["delay_hit_0_5"]
    assert isinstance(ours, float)
    return BenchResult("alarm", ours, float(best_rival), float(best_rival) / ours, figures, machine())


def cost() -> dict[str, Json]:
    """CPU time and memory a frame of 256x256 with a 64x64 score grid: one station, and 200 stations in turn."""
    rng = np.random.default_rng(1)
    part = cv2.GaussianBlur(rng.normal(0, 1, (256, 256)).astype(np.float32), (0, 0), 3)
    part = 120 + part / part.std() * 30
    pictures = [np.clip(part + rng.normal(0, 4, part.shape), 0, 255).astype(np.uint8) for _ in range(64)]
    grids = [(rng.random((64, 64)) < 1e-3).astype(np.float32) for _ in range(64)]
    baseline = learn_baseline(pictures[:40])

    def frame(station: int, number: int) -> AlignedFrame:
        header = AlignedHeader(
            frame_id=f"{station}-{number}", station=f"bench/line/{station}", product="part", epoch="boot",
            captured_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number), sequence=number,
            bundle_sha256="-", template_sha256="-", recipe_revision=1, score=0.0, residual=0.02, cell_threshold=0.5,
            transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), frame_size_px=(256, 256), window=WindowSettings(),
        )  # fmt: skip
        return AlignedFrame(header, pictures[(number * 7 + station) % 64], grids[(number * 5 + station) % 64])

    figures: dict[str, Json] = {}
    for n_stations in (1, N_STATIONS):  # one, which also loads what all need, then many
        before_bytes = psutil.Process().memory_info().rss
        states = [RootCause.start(frame(station, 0), baseline, None) for station in range(n_stations)]
        updates, saves, sizes = [], [], []
        for number in range(240 if n_stations == 1 else 36):
            for station, state in enumerate(states):
                given = frame(station, number)
                start = time.thread_time()
                state.update(given)
                updated = time.thread_time()
                sizes.append(len(state.to_bytes()))
                saves.append(time.thread_time() - updated)
                updates.append(updated - start)
                state.take_changed_slots()
        settled = slice(len(updates) * 3 // 4, None)
        figures[f"{n_stations}_stations"] = {
            "update_ms": float(np.median(updates[settled])) * 1e3,
            "update_p99_ms": float(np.quantile(updates[settled], 0.99)) * 1e3,
            "to_bytes_ms": float(np.median(saves[settled])) * 1e3,
            "state_bytes": int(np.median(sizes[settled])),
            "resident_mib_a_station": (psutil.Process().memory_info().rss - before_bytes) / 2**20 / n_stations,
            "frames_per_s_all_stations": 1.0 / float(np.mean(updates[settled]) + np.mean(saves[settled])),
        }
    return figures

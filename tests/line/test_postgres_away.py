"""Postgres shut down at once under load: workers hold what they have, memory stays flat, nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from deploy.embedded.postgres import EmbeddedPostgres
from tests.line.conftest import assign, outside_settings
from tests.line.feed import Feed
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess
from tests.line.processes import resident_bytes

STATIONS = ("away/line1/cam0", "away/line1/cam1")
FPS = 15.0
GROWTH_BYTES = 48 * 2**20


@pytest.mark.parametrize(
    ("away_s", "n_each"),
    [(10.0, 240), pytest.param(300.0, 5000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])],
)
def test_postgres_away_costs_neither_memory_nor_frames_and_work_resumes_within_15_s(
    away_s: float, n_each: int, kafka_url: str, topic_prefix: str, plate_bundle: Path, tmp_path: Path
) -> None:
    settings = outside_settings(topic_prefix=topic_prefix, partitions="2")
    state = tmp_path / "state"
    with (
        EmbeddedPostgres(tmp_path / "database") as postgres,
        LineProcess(state, "--kafka", kafka_url, "--postgres", postgres.url, settings=settings) as line,
    ):
        assign(line, plate_bundle, STATIONS)
        ledger = Ledger(line, topic_prefix, state / "bundles", STATIONS)
        feeds = [Feed(kafka_url, f"{topic_prefix}frames", each).start(range(n_each), FPS) for each in STATIONS]
        ledger.wait_for(60)
        workers, before = line.pids(), ledger.n_verdicts()
        at_first = {name: resident_bytes(pid) for name, pid in workers.items()}
        postgres.stop_immediately()
        highest = watch_memory(workers, away_s)
        postgres.start()
        back_s = time.monotonic()
        ledger.wait_for(before + 1, timeout_s=60)
        resumed_s = time.monotonic() - back_s
        n_sent = sum(feed.finish() for feed in feeds)
        assert line.pids() == workers, "nobody had to be restarted"
        growth = {name: highest[name] - at_first[name] for name in workers}
        print(
            f"resumed after {resumed_s:.1f} s; growth in MiB: { {k: round(v / 2**20, 1) for k, v in growth.items()} }"
        )
        assert resumed_s < 15
        assert max(growth.values()) < GROWTH_BYTES
        ledger.check(n_sent, attempts=1.05)
        ledger.attempts(n_sent)


def watch_memory(workers: dict[str, int], for_s: float) -> dict[str, int]:
    """The most resident memory of each worker (its engine processes included) during `for_s`."""
    highest = dict.fromkeys(workers, 0)
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        for name, pid in workers.items():
            highest[name] = max(highest[name], resident_bytes(pid))
        time.sleep(0.25)
    return highest

"""Frames at full speed while real processes are killed: nothing lost, nothing doubled, alerts once each."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from schemas.verdict import decode_verdict
from tests.line.conftest import PRODUCT, put_in_force
from tests.line.line_process import LineProcess
from tests.line.oracle import replay, saved_window_hash, whole_topic

STATIONS = ("test/line1/cam0", "test/line1/cam1")
PREFIX = "sightline."
WORKERS = ("inspect-0", "inspect-1", "root-cause", "archive")


@dataclass(frozen=True)
class Plan:
    """How many frames (both cameras together) and how often what is killed with -9."""

    n_frames: int
    workers: int
    brokers: int
    databases: int
    between_s: float


@dataclass
class Killer(threading.Thread):
    """Kills by plan, at random moments, whatever process holds the name at that moment."""

    line: LineProcess
    plan: Plan
    killed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        dice = random.Random(4)
        victims = ["worker"] * self.plan.workers + ["kafka"] * self.plan.brokers + ["postgres"] * self.plan.databases
        dice.shuffle(victims)
        for victim in victims:
            time.sleep(self.plan.between_s * dice.uniform(0.6, 1.4))
            name = dice.choice(WORKERS) if victim == "worker" else victim
            pid = self.line.pids().get(name)
            if pid is None:
                continue
            try:
                os.kill(pid, signal.SIGKILL)
                self.killed.append(name)
            except ProcessLookupError:
                continue


def start_camera(line: LineProcess, state_dir: Path, station: str, n_frames: int) -> subprocess.Popen[str]:
    """A camera process at full speed; its fixture scratches every part from number 40 on."""
    command = [sys.executable, "-m", "deploy.cli", "camera", "--source", f"/{station}", "--product", PRODUCT]
    command += ["--simulate", "plate", "--count", str(n_frames), "--scratch-from", "40", "--json"]
    command += ["--kafka", line.kafka, "--state", str(state_dir)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def acknowledged(camera: subprocess.Popen[str], timeout_s: float) -> int:
    """Frames the broker acknowledged to `camera`, from its JSON summary."""
    out, _ = camera.communicate(timeout=timeout_s)
    report: dict[str, Any] = json.loads(out)
    return int(report["n_acknowledged"])


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(600, 2, 1, 1, 4.0), id="short"),
        pytest.param(Plan(5000, 5, 2, 2, 15.0), id="full", marks=[pytest.mark.slow, pytest.mark.timeout(1500)]),
    ],
)
def test_kill_minus_nine_of_workers_broker_and_database_loses_and_doubles_nothing(
    plan: Plan, plate_bundle: Path, tmp_path: Path
) -> None:
    with LineProcess(tmp_path, "--workers", "2") as line:
        for station in STATIONS:
            put_in_force(line.postgres, tmp_path / "bundles", plate_bundle, station)
        line.wait_for_recipes(len(STATIONS))
        killer = Killer(line, plan)
        cameras = [start_camera(line, tmp_path / str(i), s, plan.n_frames // 2) for i, s in enumerate(STATIONS)]
        killer.start()
        n_sent = sum(acknowledged(camera, 900) for camera in cameras)
        killer.join()
        assert n_sent == plan.n_frames
        assert len(killer.killed) == plan.workers + plan.brokers + plan.databases
        ends = "SELECT (SELECT count(*) FROM sightline.verdict) + (SELECT count(*) FROM sightline.dead_letter)"
        assert wait_through_restarts(line, ends, n_sent, 600) == n_sent
        check_rows(line, n_sent)
        check_order(line)
        check_alerts(line, tmp_path)


def wait_through_restarts(line: LineProcess, sql: str, n: int, timeout_s: float) -> int:
    """Like `wait_for_count`, while the database itself may be restarting."""
    import psycopg

    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return line.wait_for_count(sql, n, max(deadline_s - time.monotonic(), 1))
        except psycopg.OperationalError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.5)


def check_rows(line: LineProcess, n_sent: int) -> None:
    """One row an identity, every identity of every camera, no dead letter."""
    assert line.query("SELECT count(*), count(DISTINCT (station, frame_id)) FROM sightline.verdict") == [
        (n_sent, n_sent)
    ]
    gaps = line.query(
        "SELECT station, epoch FROM sightline.verdict GROUP BY 1, 2"
        " HAVING count(*) <> max(sequence) - min(sequence) + 1"
    )
    assert gaps == []
    assert line.query("SELECT count(*) FROM sightline.dead_letter") == [(0,)]


def check_order(line: LineProcess) -> None:
    """The first occurrence of each verdict on the topic follows its station's sequence."""
    seen: set[str] = set()
    order: dict[str, list[int]] = defaultdict(list)
    for _, _, value in whole_topic(line.kafka, f"{PREFIX}verdicts"):
        verdict = decode_verdict(value)
        if verdict.verdict_id not in seen:
            seen.add(verdict.verdict_id)
            order[verdict.station].append(verdict.sequence or 0)
    for station, sequences in order.items():
        assert sequences == sorted(sequences), station


def check_alerts(line: LineProcess, state_dir: Path) -> None:
    """Alerts and windows are those of a single process that never failed, each state recorded and published."""
    settled = "SELECT count(*) FROM sightline.outbox WHERE sent_at IS NOT NULL"
    oracle = replay(line, PREFIX, f"file://{state_dir / 'bundles'}")
    expected = {(alert.alert_id, alert.state.value) for alert in oracle.alerts}
    assert expected, "the fixture scratched 90% of the parts: there must be an alert"
    line.wait_for_count(settled, len(expected), 60)
    recorded = line.query("SELECT alert_id, state FROM sightline.alert_event")
    assert sorted(recorded) == sorted(expected)
    published = [json.loads(value) for _, _, value in whole_topic(line.kafka, f"{PREFIX}alerts")]
    assert {(alert["alert_id"], alert["state"]) for alert in published} == expected
    for key, state in oracle.states.items():
        assert saved_window_hash(line, key, state) == state.window_hash

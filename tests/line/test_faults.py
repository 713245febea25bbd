"""Frames at full speed while real processes are killed: nothing lost, nothing doubled, alerts once each."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.line.camera_process import acknowledged, start_camera
from tests.line.conftest import assign
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess

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
        assign(line, plate_bundle, STATIONS)
        killer = Killer(line, plan)
        cameras = [start_camera(line, tmp_path / str(i), s, plan.n_frames // 2) for i, s in enumerate(STATIONS)]
        killer.start()
        n_sent = sum(acknowledged(camera, 900) for camera in cameras)
        killer.join()
        assert n_sent == plan.n_frames
        assert len(killer.killed) == plan.workers + plan.brokers + plan.databases
        ledger = Ledger(line, PREFIX, tmp_path / "bundles", STATIONS)
        ledger.check(n_sent, timeout_s=600)
        ledger.attempts(n_sent)

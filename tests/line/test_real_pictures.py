"""Real parts through the whole line: trained, activated, sent by a camera, decided, archived; equal to `inspect`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.line.line_process import LineProcess

ROOT = Path(__file__).resolve().parents[2]


def sightline(line: LineProcess, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run a command as a user does; its stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def check_line_equals_inspect(
    line: LineProcess, state_dir: Path, bundle: Path, pictures: Path, station: str, product: str
) -> None:
    """Send every picture below `pictures`; each gets one verdict, with the score `sightline inspect` gives it."""
    where = {"SIGHTLINE_STATE_DIR": str(state_dir), "SIGHTLINE_KAFKA_URL": line.kafka}
    where["SIGHTLINE_POSTGRES_URL"] = line.postgres
    where["SIGHTLINE_REPLICATION_FACTOR"] = where["SIGHTLINE_MIN_INSYNC_REPLICAS"] = "1"
    sightline(line, "activate", str(bundle), "--station", station, "--product", product, environment=where)
    line.wait_for_recipes(1)
    camera = ["camera", "--source", f"/{station}", "--product", product, "--folder", str(pictures), "--json"]
    report = json.loads(sightline(line, *camera, environment=where))
    paths = sorted(path for path in pictures.rglob("*") if path.suffix in (".png", ".jpg"))
    assert report["n_acknowledged"] == len(paths)
    count = "SELECT count(*) FROM sightline.verdict"
    assert line.wait_for_count(count, len(paths), 120) == len(paths)
    inspected = sightline(line, "inspect", str(bundle), *map(str, paths), "--json")
    alone = [json.loads(text) for text in inspected.splitlines()]
    rows = line.query("SELECT unit_id, score, outcome FROM sightline.verdict")
    decided = {unit_id: (score, outcome) for unit_id, score, outcome in rows}
    for path, verdict in zip(paths, alone, strict=True):
        score, outcome = decided[path.relative_to(pictures).with_suffix("").as_posix()]
        assert outcome == verdict["outcome"], path
        assert score == (None if verdict["score"] is None else pytest.approx(verdict["score"], abs=1e-6)), path


def test_every_screw_gets_one_verdict_equal_to_inspect(pictures_dir: Path, tmp_path: Path) -> None:
    screws = pictures_dir / "mvtec_screw"
    bundle = tmp_path / "screw.bundle"
    with LineProcess(tmp_path / "state") as line:
        sightline(line, "train", "screw", "--good", str(screws / "train" / "good"), "--out", str(bundle))
        check_line_equals_inspect(line, tmp_path / "state", bundle, screws / "test", "test/screws/cam0", "screw")


def test_a_tested_board_is_judged_against_its_template_and_another_board_is_refused(
    pictures_dir: Path, tmp_path: Path
) -> None:
    boards = pictures_dir / "deeppcb" / "group00041" / "00041"
    golden, sent, bundle = tmp_path / "golden", tmp_path / "sent", tmp_path / "board.bundle"
    golden.mkdir()
    sent.mkdir()
    shutil.copy(boards / "00041000_temp.jpg", golden)
    for name in ("00041000_temp.jpg", "00041000_test.jpg", "00041001_test.jpg"):
        shutil.copy(boards / name, sent)
    with LineProcess(tmp_path / "state") as line:
        sightline(line, "train", "board", "--good", str(golden), "--variations", "24", "--out", str(bundle))
        check_line_equals_inspect(line, tmp_path / "state", bundle, sent, "test/boards/cam0", "board")
        outcomes = line.query("SELECT unit_id, outcome, reason FROM sightline.verdict ORDER BY unit_id")
    assert outcomes == [
        ("00041000_temp", "pass", None),
        ("00041000_test", "fail", None),
        ("00041001_test", "uninspected", "misaligned"),
    ]

"""A new bundle on a running line: in force between two frames; an altered one is refused and nothing stops."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agents.activation import Wishes, activate
from agents.database import connect
from engines.bundle import Bundle
from schemas.store import ContentStore
from tests.line.conftest import PREFIX, PRODUCT, assign
from tests.line.feed import Feed
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess
from tests.line.variants import alter, later_bundle, stored_path

FPS = 20.0


@pytest.mark.parametrize("n_each", [40, pytest.param(1500, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_activate_switches_between_two_frames_and_loses_none(
    n_each: int, line: LineProcess, plate_bundle: Path, tmp_path: Path
) -> None:
    station = f"activation/line{n_each}/cam0"
    second = later_bundle(plate_bundle, tmp_path / "second.bundle")
    assign(line, plate_bundle, [station])
    ledger = Ledger(line, PREFIX, line.state_dir / "bundles", [station])
    enough = threading.Event()
    endless = itertools.takewhile(lambda _: not enough.is_set(), itertools.count())
    feed = Feed(line.kafka, f"{PREFIX}frames", station).start(endless, FPS)
    ledger.wait_for(n_each)
    type_activate(line, second, station)
    of_second = f"SELECT count(*) FROM sightline.verdict WHERE station = '{station}' AND recipe_revision = 2"
    assert line.wait_for_count(of_second, n_each, 60 + n_each / FPS * 2) >= n_each
    enough.set()
    n_sent = feed.finish()
    ledger.wait_for(n_sent)
    ledger.check_rows(n_sent)
    ledger.check_order()
    assert bundles_in_order(ledger) == [(1, Bundle.open(plate_bundle).sha256), (2, Bundle.open(second).sha256)]


def test_a_bundle_altered_in_the_store_is_refused_and_the_recipe_before_it_stays_in_force(
    line: LineProcess, plate_bundle: Path, tmp_path: Path
) -> None:
    station, bundles_dir = "activation/altered/cam0", line.state_dir / "bundles"
    third = later_bundle(plate_bundle, tmp_path / "third.bundle", days=2)
    assign(line, plate_bundle, [station])
    ledger = Ledger(line, PREFIX, bundles_dir, [station])
    feed = Feed(line.kafka, f"{PREFIX}frames", station)
    feed.send(0)
    ledger.wait_for(1)
    with connect(line.postgres) as connection, connection.transaction():
        store = ContentStore(f"file://{bundles_dir}")
        activate(connection, store, third.read_bytes(), station=station, product=PRODUCT, wishes=Wishes())
        alter(stored_path(bundles_dir, third))
    wait_for_refusal(line, Bundle.open(third).sha256)
    for sequence in range(1, 6):
        feed.send(sequence)
    feed.finish()
    ledger.wait_for(6)
    ledger.check_rows(6)
    assert bundles_in_order(ledger) == [(1, Bundle.open(plate_bundle).sha256)]
    assign(line, plate_bundle, [station])


def type_activate(line: LineProcess, bundle: Path, station: str) -> None:
    """`sightline activate`, as a person types it."""
    command = [sys.executable, "-m", "deploy.cli", "activate", str(bundle), "--station", station, "--product", PRODUCT]
    done = subprocess.run(command, env=line.environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def bundles_in_order(ledger: Ledger) -> list[tuple[int | None, str | None]]:
    """(recipe revision, bundle sha256) of the verdicts in sequence order, each run of equals once."""
    made = [
        (verdict.provenance.recipe_revision, verdict.provenance.bundle_sha256)
        for verdict in sorted(ledger.verdicts(), key=lambda verdict: verdict.sequence or 0)
    ]
    return [pair for index, pair in enumerate(made) if index == 0 or pair != made[index - 1]]


def wait_for_refusal(line: LineProcess, sha256: str, timeout_s: float = 60.0) -> None:
    """Wait until every inspect worker says in its log that it refuses the bundle, and why."""
    deadline_s = time.monotonic() + timeout_s
    for path in (line.state_dir / "logs").glob("inspect-*.jsonl"):
        while True:
            messages = [json.loads(text).get("message", "") for text in path.read_text().splitlines()]
            said = [message for message in messages if f"bundle {sha256} refused" in message]
            if said:
                assert "the recipes before it stay in force" in said[0]
                assert "was altered" in said[0]
                break
            assert time.monotonic() < deadline_s, line.logs()
            time.sleep(0.2)

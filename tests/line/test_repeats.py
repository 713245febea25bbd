"""A camera that repeats itself and overtakes itself: one row a frame, and a root-cause state any process reproduces."""

from __future__ import annotations

from pathlib import Path

from tests.line.conftest import FAULTS_PREFIX, assign
from tests.line.feed import Feed
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess

STATION = "repeats/line1/cam0"


def test_duplicate_and_reordered_sends_are_one_row_each(faults_line: LineProcess, plate_bundle: Path) -> None:
    line = faults_line
    assign(line, plate_bundle, [STATION])
    ledger = Ledger(line, FAULTS_PREFIX, line.state_dir / "bundles", [STATION])
    twice = [number for number in range(30) for _ in range(2)]
    swapped = [number ^ 1 for number in range(30, 60)]
    again = [*range(60, 90), *range(65, 85), *range(90, 110)]
    sends = [*twice, *swapped, *again]
    feed = Feed(line.kafka, f"{FAULTS_PREFIX}frames", STATION).start(sends, fps=60.0)
    assert feed.finish() == len(sends) == 160
    ledger.wait_for(110)
    repeats = "SELECT coalesce(sum(n_repeats), 0) FROM sightline.frame WHERE station = 'repeats/line1/cam0'"
    assert line.wait_for_count(repeats, 50) == 50
    ledger.check_rows(110)
    ledger.check_alerts()

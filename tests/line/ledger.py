"""The reckoning after a fault: what stations sent against what the line made of it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from schemas.verdict import Verdict, decode_verdict
from tests.line.line_process import LineProcess
from tests.line.oracle import Oracle, replay, whole_topic


@dataclass(frozen=True)
class Ledger:
    """Checks for `stations` of a line whose topics begin with `prefix` and whose bundles lie in `bundles_dir`."""

    line: LineProcess
    prefix: str
    bundles_dir: Path
    stations: Sequence[str]

    def check(self, n_sent: int, *, alerts: bool = True, attempts: float | None = None, timeout_s: float = 240) -> None:
        """Wait for `n_sent` verdicts or dead letters, then check rows, order, alerts and windows.

        Args: alerts: whether there must be any. attempts: the most verdict records on the topic for one frame, on
            average. timeout_s: how long `n_sent` may take.
        """
        self.wait_for(n_sent, timeout_s)
        self.check_rows(n_sent)
        self.check_order()
        self.check_alerts(expected=alerts)
        if attempts is not None:
            assert self.attempts(n_sent) <= attempts

    def wait_for(self, n: int, timeout_s: float = 240) -> None:
        """Wait until the stations have `n` verdicts, also while the database itself is away."""
        deadline_s = time.monotonic() + timeout_s
        count = -1
        while count < n:
            assert time.monotonic() < deadline_s, f"{count} of {n} verdicts:\n{self.line.said()}\n{self.line.logs()}"
            try:
                count = self.n_verdicts()
            except psycopg.OperationalError:
                time.sleep(0.3)
            time.sleep(0.1)

    def n_verdicts(self) -> int:
        """Rows of the stations in `sightline.verdict` now."""
        counted = "SELECT count(*) FROM sightline.verdict WHERE station = ANY(%s)"
        return int(self.line.query(counted, list(self.stations))[0][0])

    def attempts(self, n_sent: int) -> float:
        """Verdict records on the topic for one frame, on average; printed, for it is a figure."""
        attempts = len(self.verdicts()) / n_sent
        print(f"attempts / frames = {attempts:.3f} ({n_sent} frames)")
        return attempts

    def verdicts(self) -> list[Verdict]:
        """Every verdict record of the stations on the topic, repeats included, in order within a station."""
        keys = {station.encode() for station in self.stations}
        records = whole_topic(self.line.kafka, f"{self.prefix}verdicts")
        return [decode_verdict(value) for _, key, value in records if key in keys]

    def check_rows(self, n_sent: int) -> None:
        """One row an identity, every identity of every camera's boot, no dead letter."""
        rows = self.line.query(
            "SELECT count(*), count(DISTINCT (station, frame_id)) FROM sightline.verdict WHERE station = ANY(%s)",
            list(self.stations),
        )
        assert rows == [(n_sent, n_sent)]
        gaps = self.line.query(
            "SELECT station, epoch FROM sightline.verdict WHERE station = ANY(%s) GROUP BY 1, 2"
            " HAVING count(*) <> max(sequence) - min(sequence) + 1",
            list(self.stations),
        )
        assert gaps == []
        keys = [station.encode() for station in self.stations]
        assert self.line.query("SELECT reason, detail FROM sightline.dead_letter WHERE key = ANY(%s)", keys) == []

    def check_order(self) -> None:
        """The first occurrence of each verdict on the topic follows its station's sequence."""
        seen: set[str] = set()
        order: dict[str, list[int]] = defaultdict(list)
        for verdict in self.verdicts():
            if verdict.verdict_id not in seen:
                seen.add(verdict.verdict_id)
                order[verdict.station].append(verdict.sequence or 0)
        for station, sequences in order.items():
            assert sequences == sorted(sequences), station

    def check_alerts(self, *, expected: bool = True) -> None:
        """Alerts and windows are those of a single process that never failed, each state recorded and published."""
        oracle = replay(self.line.kafka, self.prefix, f"file://{self.bundles_dir}", self.stations)
        of_oracle = {(alert.alert_id, alert.state.value) for alert in oracle.alerts}
        assert bool(of_oracle) == expected, "the fixture scratched the parts: there must be an alert"
        deadline_s = time.monotonic() + 60
        while not self._settled(oracle):
            assert time.monotonic() < deadline_s, (self._recorded(), sorted(of_oracle), self.line.logs())
            time.sleep(0.2)
        assert self._recorded() == sorted(of_oracle)
        assert set(self._published()) == of_oracle

    def _settled(self, oracle: Oracle) -> bool:
        """Whether windows and alert states are the oracle's and the outbox is empty."""
        if self.line.query("SELECT count(*) FROM sightline.outbox WHERE sent_at IS NULL") != [(0,)]:
            return False
        if self._recorded() != sorted((alert.alert_id, alert.state.value) for alert in oracle.alerts):
            return False
        return all(
            oracle.saved_window_hash(self.line.postgres, key) == state.window_hash
            for key, state in oracle.states.items()
        )

    def _recorded(self) -> list[tuple[str, str]]:
        rows = self.line.query(
            "SELECT event.alert_id, event.state FROM sightline.alert_event AS event"
            " JOIN sightline.alert AS alert ON alert.alert_id = event.alert_id WHERE alert.station = ANY(%s)",
            list(self.stations),
        )
        return sorted(rows)

    def _published(self) -> list[tuple[str, str]]:
        alerts = [json.loads(value) for _, _, value in whole_topic(self.line.kafka, f"{self.prefix}alerts")]
        return [(alert["alert_id"], alert["state"]) for alert in alerts if alert["station"] in self.stations]

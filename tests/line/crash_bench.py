"""The parts of a line that a crash test drives by hand, on the real broker and database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.ack import Progress, Record
from agents.database import connect
from agents.evidence import EvidenceKeeper
from agents.golden import Golden
from agents.outlet import Outlet
from agents.records import load_root_cause
from agents.root_cause import RootCauseParts, RootCauseWork
from agents.session import Session
from deploy.settings import Settings, aiokafka_options
from pipeline.root_cause import RootCause
from pipeline.root_cause_state import saved_bundle
from schemas.aligned import AlignedFrame
from schemas.frame import Origin
from schemas.topics import Topics
from tests.pipeline.aligned import Line

KEY = ("lab/line1/cam0", "plate")
FIRST_BUNDLE, SECOND_BUNDLE = "0" * 64, "2" * 64
MARK = (20, 24, 12, 8)
BATCH = 8


class Crash(RuntimeError):
    """The process dies here."""


class Bench:
    """The agents' parts of one line on the real broker and database; `work` is a process that begins anew."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.topics = settings, Topics(settings.topic_prefix)
        self.simulated, self.resized = Line(), Line(size_px=96, grid=24)
        self._golden = {
            name: Golden(each.baseline(), each.picture(10_000), {}) for name, each in self._by_bundle().items()
        }
        self.outlet = Outlet(aiokafka_options(settings), Progress())
        self.sessions: list[Session] = []

    def session(self) -> Session:
        """A connection as a worker just started has it."""
        self.sessions.append(Session(self.settings.postgres_url, "crash test", Progress()))
        return self.sessions[-1]

    def of_bundle(self, sha256: str) -> Golden:
        """The golden references of a bundle."""
        return self._golden[sha256]

    def _by_bundle(self) -> dict[str, Line]:
        return {FIRST_BUNDLE: self.simulated, SECOND_BUNDLE: self.resized}

    def root_cause(self, session: Session | None = None) -> RootCauseWork:
        """The root-cause agent of a process just started."""
        evidence = EvidenceKeeper(self.settings.evidence_url, Progress())
        golden: Any = self
        parts = RootCauseParts(self.topics, session or self.session(), evidence, golden, self.outlet, Progress())
        return RootCauseWork(parts)

    def frames(self, n: int) -> list[AlignedFrame]:
        """`n` aligned frames; from number 20 on every part is marked at one place."""
        return [self.simulated.frame(number, MARK if number >= 20 else None) for number in range(n)]

    def oracle(self, frames: Sequence[AlignedFrame]) -> tuple[RootCause, list[tuple[str, str]]]:
        """State and (alert_id, state) of a process that takes `frames` and never fails."""
        golden = self.of_bundle(frames[0].header.bundle_sha256)
        state = RootCause.start(frames[0], golden.baseline, golden.template)
        alerts = [alert for frame in frames for alert in state.update(frame, lambda png: "kept")]
        return state, sorted((alert.alert_id, alert.state.value) for alert in alerts)

    def saved(self) -> tuple[str, list[tuple[str, str]], int]:
        """Window hash, (alert_id, state) recorded, and rows in the outbox."""
        with connect(self.settings.postgres_url) as conn:
            stored = load_root_cause(conn, *KEY)
            events = conn.execute("SELECT alert_id, state FROM sightline.alert_event").fetchall()
            ((n_outbox,),) = conn.execute("SELECT count(*) FROM sightline.outbox").fetchall()
        assert stored is not None
        golden = self.of_bundle(saved_bundle(stored.state))
        state = RootCause.from_bytes(stored.state, stored.slots, golden.baseline, golden.template)
        return state.window_hash, sorted(events), n_outbox

    async def close(self) -> None:
        """Give connections back."""
        await self.outlet.stop()
        for session in self.sessions:
            session.close()


def records(values: Sequence[bytes]) -> list[Record]:
    """`values` as they arrive."""
    return [
        Record(b"lab/line1/cam0", value, (), Origin("t", 0, offset, 1_760_000_000_000))
        for offset, value in enumerate(values)
    ]


async def deliver(work: Any, batch: Sequence[Record]) -> None:
    """One micro-batch: prepared and settled; its ack would come next."""
    await work.settle(batch, await work.prepare(batch))

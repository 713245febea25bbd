"""A crash at the worst moment: after a commit but before the ack, after a send but before it is marked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.ack import Progress, Record
from agents.archive import DeadLetterWork, archive_alerts, archive_verdicts
from agents.database import Connection, connect
from agents.evidence import EvidenceKeeper
from agents.outlet import Outgoing, Outlet
from agents.relay import Relay
from agents.session import Session
from agents.topic_admin import ensure_topics
from deploy.settings import Settings, aiokafka_options
from schemas.aligned import encode_aligned
from schemas.tables import VerdictKind
from schemas.topics import Topics
from schemas.verdict import encode_verdict
from tests.line.crash_bench import BATCH, SECOND_BUNDLE, Bench, Crash, deliver, records
from tests.line.oracle import whole_topic
from tests.verdicts import a_dead_letter, a_failed_verdict


@pytest.fixture
def bench(settings: Settings) -> Iterator[Bench]:
    ensure_topics(settings, Topics(settings.topic_prefix).specs(settings.partitions))
    yield Bench(settings)


class CrashingSession(Session):
    """Dies at the commit of a state: with `after`, once it is durable; else just before."""

    def __init__(self, url: str, *, after: bool) -> None:
        super().__init__(url, "crash test", Progress())
        self._after = after

    def run_once(self, transaction: Any) -> Any:
        """One try; the save dies, loads do not."""
        if not transaction.__qualname__.startswith("RootCauseWork._take_in"):
            return super().run_once(transaction)
        if self._after:
            super().run_once(transaction)
            raise Crash

        def dying(conn: Connection) -> Any:
            transaction(conn)
            raise Crash

        return super().run_once(dying)


def test_root_cause_killed_between_every_commit_and_its_ack_gives_each_alert_once(bench: Bench) -> None:
    frames = bench.frames(48)
    arrived = records([encode_aligned(frame) for frame in frames])

    async def run() -> None:
        for start in range(0, len(arrived), BATCH):
            batch = arrived[start : start + BATCH]
            await deliver(bench.root_cause(), batch)  # committed, then killed: nothing is acknowledged
            await deliver(bench.root_cause(), batch)  # its successor is given the same again
        await bench.close()

    asyncio.run(run())
    state, alerts = bench.oracle(frames)
    assert alerts
    assert bench.saved() == (state.window_hash, alerts, len(alerts))


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
def test_root_cause_killed_at_every_commit_gives_each_alert_once(bench: Bench, after: bool) -> None:
    frames = bench.frames(48)
    arrived = records([encode_aligned(frame) for frame in frames])

    async def run() -> None:
        for start in range(0, len(arrived), BATCH):
            batch = arrived[start : start + BATCH]
            dying = CrashingSession(bench.settings.postgres_url, after=after)
            with pytest.raises(Crash):
                await deliver(bench.root_cause(dying), batch)
            dying.close()
            await deliver(bench.root_cause(), batch)
        await bench.close()

    asyncio.run(run())
    state, alerts = bench.oracle(frames)
    assert bench.saved() == (state.window_hash, alerts, len(alerts))


def test_two_root_cause_workers_that_both_think_a_station_theirs_save_it_once(bench: Bench) -> None:
    frames = bench.frames(48)
    arrived = records([encode_aligned(frame) for frame in frames])

    async def run() -> None:
        late, owner = bench.root_cause(), bench.root_cause()
        await deliver(late, arrived[:16])
        await deliver(owner, arrived[:32])
        await deliver(late, arrived[16:24])  # wakes up, its partition long given away
        await deliver(owner, arrived[32:])
        await deliver(late, arrived[24:40])
        await bench.close()

    asyncio.run(run())
    state, alerts = bench.oracle(frames)
    assert bench.saved() == (state.window_hash, alerts, len(alerts))


def test_a_late_frame_of_the_recipe_before_does_not_throw_the_window_away(bench: Bench) -> None:
    before = [bench.simulated.frame(number) for number in range(8)]
    now = [bench.simulated.frame(number, revision=2) for number in range(8, 24)]

    async def run() -> None:
        work = bench.root_cause()
        await deliver(work, records([encode_aligned(frame) for frame in [*before, *now]]))
        await deliver(work, records([encode_aligned(frame) for frame in before[4:]]))
        await bench.close()

    asyncio.run(run())
    state, _ = bench.oracle(now)
    assert bench.saved()[0] == state.window_hash


def test_root_cause_restarted_between_two_bundles_of_different_size_begins_a_new_window(bench: Bench) -> None:
    before = [bench.simulated.frame(number) for number in range(8)]
    resized = [bench.resized.frame(number, revision=2) for number in range(8, 24)]
    now = [replace(f, header=f.header.model_copy(update={"bundle_sha256": SECOND_BUNDLE})) for f in resized]

    async def run() -> None:
        await deliver(bench.root_cause(), records([encode_aligned(frame) for frame in before]))
        await deliver(bench.root_cause(), records([encode_aligned(frame) for frame in now]))
        await bench.close()

    asyncio.run(run())
    state, _ = bench.oracle(now)
    assert bench.saved()[0] == state.window_hash


def test_a_reassignment_in_the_middle_of_a_batch_costs_no_frame(bench: Bench) -> None:
    frames = bench.frames(48)
    arrived = records([encode_aligned(frame) for frame in frames])

    async def run() -> None:
        work = bench.root_cause()
        for start in range(0, len(arrived), BATCH):
            batch = arrived[start : start + BATCH]
            settling = asyncio.create_task(work.settle(batch, await work.prepare(batch)))
            while not settling.done():
                work.forget()
                await asyncio.sleep(0)
            await settling
        await bench.close()

    asyncio.run(run())
    state, alerts = bench.oracle(frames)
    assert bench.saved() == (state.window_hash, alerts, len(alerts))


def test_verdicts_and_dead_letters_killed_between_commit_and_ack_are_one_row_each(bench: Bench) -> None:
    verdicts = records([encode_verdict(a_failed_verdict(f"frame-{number}")) for number in range(5)])
    sent = [a_dead_letter(offset) for offset in range(3)]
    letters = [Record(letter.key, letter.value, tuple(letter.kafka_headers()), letter.origin) for letter in sent]

    async def run() -> None:
        for _ in range(3):
            live = archive_verdicts(VerdictKind.LIVE, bench.session(), bench.outlet, bench.topics.dead_letters)
            await deliver(live, verdicts)
            evidence = EvidenceKeeper(bench.settings.evidence_url, Progress())
            await deliver(DeadLetterWork(bench.session(), evidence), letters)
        await bench.close()

    asyncio.run(run())
    with connect(bench.settings.postgres_url) as conn:
        tables = ("verdict", "defect", "frame", "dead_letter")
        counts = {name: conn.execute(f"SELECT count(*) FROM sightline.{name}".encode()).fetchone() for name in tables}
    assert counts == {"verdict": (5,), "defect": (5,), "frame": (5,), "dead_letter": (3,)}


class CrashingOutlet(Outlet):
    """Dies when everything was sent and nothing is marked."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Send, then die."""
        await super().publish(records)
        raise Crash


def test_the_relay_killed_between_send_and_mark_forgets_no_alert_and_doubles_no_row(bench: Bench) -> None:
    frames = bench.frames(48)
    _, alerts = bench.oracle(frames)

    async def run() -> None:
        await deliver(bench.root_cause(), records([encode_aligned(frame) for frame in frames]))
        dying = CrashingOutlet(aiokafka_options(bench.settings), Progress())
        with pytest.raises(Crash):
            await Relay(bench.session(), dying, bench.settings.topic_prefix).relay_once()
        await dying.stop()
        relay = Relay(bench.session(), bench.outlet, bench.settings.topic_prefix)
        assert await relay.relay_once() == len(alerts), "none of them was marked"
        assert await relay.relay_once() == 0
        values = [value for _, _, value in whole_topic(bench.settings.kafka_url, bench.topics.alerts)]
        told = [(alert["alert_id"], alert["state"]) for alert in map(json.loads, values)]
        assert sorted(told) == sorted([*alerts, *alerts]), "at least once, under the same identity"
        archive = archive_alerts(bench.session(), bench.outlet, bench.topics.dead_letters)
        await deliver(archive, records(values))
        await bench.close()

    asyncio.run(run())
    assert bench.saved()[1:] == (alerts, len(alerts))


def test_evidence_of_an_alert_is_there_before_the_alert_names_it(bench: Bench) -> None:
    frames = bench.frames(48)

    async def run() -> None:
        await deliver(bench.root_cause(), records([encode_aligned(frame) for frame in frames]))
        await bench.close()

    asyncio.run(run())
    with connect(bench.settings.postgres_url) as conn:
        rows = conn.execute("SELECT gradient_map FROM sightline.alert_event WHERE gradient_map IS NOT NULL").fetchall()
    assert rows
    assert all(Path(reference.removeprefix("file://")).is_file() for (reference,) in rows)

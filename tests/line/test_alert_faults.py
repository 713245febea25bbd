"""What happens to frames on their way changes no alert: the same alerts as from a single process, once each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from agents.topic_admin import ensure_topics
from deploy.settings import Settings
from schemas.aligned import encode_aligned
from schemas.topics import Topics
from tests.line.crash_bench import Bench, deliver, records

N_FRAMES = 48
LOST = (5, 24, 25, 40)
"""Numbers that never come: before the mark, in the run that raises the alert, and after it is confirmed."""


@pytest.fixture
def bench(settings: Settings) -> Iterator[Bench]:
    ensure_topics(settings, Topics(settings.topic_prefix).specs(settings.partitions))
    yield Bench(settings)


@pytest.mark.parametrize("seed", [1, 2])
def test_lost_repeated_and_late_frames_and_a_restart_at_any_of_them_leave_the_state_of_a_single_process(
    bench: Bench, seed: int
) -> None:
    dice = random.Random(seed)
    sent = [frame for number, frame in enumerate(bench.frames(N_FRAMES)) if number not in LOST]
    arriving: list[int] = []
    for index in range(len(sent)):
        arriving.append(index)
        if dice.random() < 0.3:
            arriving.append(index)  # twice at once
        if dice.random() < 0.3:
            arriving.append(dice.randrange(index + 1))  # late: the line is past it already
    values = records([encode_aligned(sent[index]) for index in arriving])

    async def run() -> None:
        work, at = bench.root_cause(), 0
        while at < len(values):
            n = dice.choice((1, 1, 3, 8))
            await deliver(work, values[at : at + n])
            at += n
            if dice.random() < 0.4:
                work = bench.root_cause()  # killed; its successor has only what was saved
        await bench.close()

    asyncio.run(run())
    state, alerts = bench.oracle(sent)
    assert state.n_lost == len(LOST)
    assert {name for _, name in alerts} >= {"suspected", "confirmed"}
    assert bench.saved() == (state.window_hash, alerts, len(alerts))

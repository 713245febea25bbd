"""A Faust worker in one pattern of the canary table; ``python -m tests.agents.canary_app PATTERN URL TOPIC``.

Its handler raises at offset 3 (or at the message ``bad``), prints what it processed and, on exit, nothing else.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faust
from mode import CrashingSupervisor

FAILS_AT = 3


def processed(offset: int) -> None:
    """Tell the test, before anything can be lost."""
    print(f"processed {offset}", flush=True)


def check(offset: int) -> None:
    """The fault."""
    if offset == FAILS_AT:
        raise RuntimeError("the handler raises here")


def build(pattern: str, url: str, topic: str, folder: Path) -> faust.App:
    """The app of one row of the table."""
    app = faust.App(
        f"{topic}-group",
        broker=f"kafka://{url}",
        datadir=folder,
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        stream_wait_empty=pattern == "noack_default",
        stream_buffer_maxsize=4 if pattern == "small_buffer" else 4096,
        consumer_max_fetch_size=8192 if pattern == "small_buffer" else 1024**2,
        broker_commit_interval=0.2,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
        broker_request_timeout=10.0,
        worker_redirect_stdouts=False,
    )
    raw = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    json_topic = app.topic(topic, value_serializer="json")
    crashing: dict[str, Any] = {"supervisor_strategy": CrashingSupervisor}

    async def plain(stream: Any) -> None:
        async for event in stream.events():
            check(event.message.offset)
            processed(event.message.offset)

    async def take(stream: Any) -> None:
        async for _ in stream.take(4, within=1.0):
            offset = stream.current_event.message.offset if stream.current_event else -1
            check(3 if offset >= 3 or offset == -1 else offset)

    async def noack(stream: Any) -> None:
        async for event in stream.noack().events():
            check(event.message.offset)
            processed(event.message.offset)
            event.ack()

    async def decoded(stream: Any) -> None:
        async for event in stream.events():
            processed(event.message.offset)

    async def slow_first(stream: Any) -> None:
        async for event in stream.events():
            if event.message.offset == 0:
                await asyncio.sleep(3600)
            processed(event.message.offset)

    if pattern == "plain_default":
        app.agent(raw)(plain)
    elif pattern == "plain_crashing":
        app.agent(raw, **crashing)(plain)
    elif pattern == "take":
        app.agent(raw, **crashing)(take)
    elif pattern == "noack_default":
        app.agent(raw)(noack)
    elif pattern == "bad_json":
        app.agent(json_topic, **crashing)(decoded)
    elif pattern == "concurrency":
        app.agent(raw, concurrency=2)(slow_first)
    elif pattern == "noack_crashing":
        app.agent(raw, **crashing)(noack)
    elif pattern == "discipline":
        _add_discipline(app, topic, check)
    elif pattern == "small_buffer":
        _add_discipline(app, topic, lambda offset: None, work_s=0.002)
    else:
        raise SystemExit(f"no such pattern: {pattern}")
    return app


def _add_discipline(app: faust.App, topic: str, fault: Callable[[int], None], work_s: float = 0.0) -> None:

    from agents.ack import BatchLimits, Progress, Record
    from agents.app import add_agent
    from agents.consumer import Transport

    class Work:
        async def prepare(self, records: Sequence[Record]) -> None:
            return None

        async def settle(self, records: Sequence[Record], prepared: None) -> None:
            for record in records:
                await asyncio.sleep(work_s)
                fault(record.origin.offset)
                processed(record.origin.offset)

    app.transport = Transport(app.conf.broker_consumer, app)
    add_agent(app, topic, "discipline", Work(), BatchLimits(max_records=1), Progress())


if __name__ == "__main__":
    _pattern, _url, _topic = sys.argv[1:]
    with tempfile.TemporaryDirectory() as _folder:
        faust.Worker(build(_pattern, _url, _topic, Path(_folder)), loglevel="error").execute_from_commandline()

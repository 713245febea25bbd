"""A Faust application set up by the rules of the stream (docs/adr/0003-ack-discipline.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from mode import CrashingSupervisor

from agents.ack import AckDiscipline, BatchLimits, Progress, Work
from agents.consumer import Transport
from schemas.errors import SetupError
from schemas.topics import MAX_MESSAGE_BYTES

_DAY_S = 24 * 3600.0
_MAX_BUFFERED_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What every worker's Faust app needs; `credentials` is Faust's own type or None."""

    brokers: str
    state_dir: Path
    topic_prefix: str
    credentials: Any = None
    session_timeout_s: float = 8.0
    stream_buffer_frames: int = 16


def build_app(role: str, settings: AppSettings) -> faust.App:
    """An app whose consumer group is ``<prefix><role>``: acks by hand, no web server, no topics of its own.

    Raises: SetupError when the stream buffer could hold more than 512 MiB of the largest messages.
    """
    _check_buffer(settings.stream_buffer_frames)
    datadir = settings.state_dir / "faust" / role
    datadir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        f"{settings.topic_prefix}{role}",
        broker=[f"kafka://{address}" for address in settings.brokers.split(",")],
        broker_credentials=settings.credentials,
        datadir=datadir,
        store="memory://",
        autodiscover=False,
        processing_guarantee="at_least_once",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=settings.stream_buffer_frames,
        broker_max_poll_interval=_DAY_S,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 3,
        broker_request_timeout=max(15.0, settings.session_timeout_s * 2),
        broker_commit_interval=0.5,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_MESSAGE_BYTES + 64 * 1024,
        agent_supervisor=CrashingSupervisor,
        worker_redirect_stdouts=False,
    )
    app.transport = Transport(app.conf.broker_consumer, app)
    return app


def add_agent(app: faust.App, topic: str, name: str, work: Work[Any], limits: BatchLimits, progress: Progress) -> None:
    """Have `work` consume `topic` (raw bytes) under the ack discipline."""
    discipline = AckDiscipline(work, limits, progress)

    async def consume(stream: Any) -> None:
        await discipline.run(stream)

    channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(channel, name=name, concurrency=1, supervisor_strategy=CrashingSupervisor)(consume)


def _check_buffer(stream_buffer_frames: int) -> None:
    if not 1 <= stream_buffer_frames <= 256:
        raise SetupError(f"stream_buffer_frames is {stream_buffer_frames}: set it from 1 to 256 (8 to 32 is usual)")
    worst_bytes = stream_buffer_frames * MAX_MESSAGE_BYTES
    if worst_bytes > _MAX_BUFFERED_BYTES:
        raise SetupError(
            f"stream_buffer_frames {stream_buffer_frames} x {MAX_MESSAGE_BYTES} bytes exceeds the budget of "
            f"{_MAX_BUFFERED_BYTES} bytes: lower stream_buffer_frames"
        )

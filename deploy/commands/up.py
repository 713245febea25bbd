"""`sightline up`: run a line until it is told to stop."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer


def up(
    kafka: Annotated[str | None, typer.Option(help="host:port of your Kafka; without it an embedded one.")] = None,
    postgres: Annotated[
        str | None, typer.Option(help="postgresql://user:password@host/db; without it an embedded one.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Folder for embedded services, logs, evidence.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Inspect workers (at most one a partition).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the ready line as JSON.")] = False,
) -> None:
    """Run a line: broker and database (embedded unless given), topics, migrations, agents.

    Prints one line when it is ready, restarts what dies, and stops everything cleanly on SIGINT or SIGTERM.
    Logs are JSON lines in <state>/logs. Point a camera at it with `sightline camera`, or see docs/cameras.md.
    """
    from deploy.line import Line
    from deploy.settings import load_settings, redacted_url

    given = {"kafka_url": kafka, "postgres_url": postgres, "state_dir": state, "workers": workers}
    settings = load_settings({name: value for name, value in given.items() if value is not None})
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    line = Line(settings, lambda sentence: print(f"up: {sentence}", file=sys.stderr, flush=True))
    address = line.start()
    try:
        if json:
            print(address.to_json(), flush=True)
        else:
            database = redacted_url(address.postgres) if postgres or settings.postgres_url else address.postgres
            print(f"ready: kafka {address.kafka} · postgres {database} · pids {address.pids}", flush=True)
        line.run(stopping.is_set)
    finally:
        print("up: stopping", file=sys.stderr, flush=True)
        line.stop()

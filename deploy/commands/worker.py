"""`sightline worker`: one agent process; `up`, a container or a service manager starts and restarts it."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def worker(
    role: Annotated[str, typer.Argument(help="inspect | root-cause | archive")],
    parent: Annotated[int, typer.Option(help="Exit when this process is gone (set by `up`).", hidden=True)] = 0,
) -> None:
    """Run one worker in the foreground; logs are JSON lines on stderr, `ready` is printed once it consumes.

    Needs kafka_url and postgres_url (settings or SIGHTLINE_KAFKA_URL, SIGHTLINE_POSTGRES_URL). Exit 0: stopped by a
    signal. 1: crashed, nothing acknowledged beyond what is durable; start it again. 2: the set-up is wrong.
    """
    from agents.worker import die_with_parent, run_app
    from deploy.composition import build_worker
    from deploy.logs import log_as_json
    from deploy.settings import load_settings
    from deploy.supervisor import READY_LINE

    settings = load_settings()
    log_as_json(f"{role}-{os.getpid()}", settings.log_level)
    if parent:
        die_with_parent(parent)
    built = build_worker(role, settings)
    code = run_app(built.app, lambda: print(READY_LINE, flush=True))
    built.close()
    sys.stderr.flush()
    os._exit(code)

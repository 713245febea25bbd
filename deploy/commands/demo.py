"""`sightline demo`: the whole line on this machine, in a minute."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer


def demo(
    seconds: Annotated[float, typer.Option(min=5, help="How long the simulated line runs.")] = 40,
    state: Annotated[Path | None, typer.Option(help="Folder of the demo's services, evidence and logs.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Also save what the terminal showed as an SVG picture.")] = None,
) -> None:
    """Run a line with a simulated camera and watch: verdicts scroll by, then a fixture starts to scratch the parts.

    Starts a real Kafka and a real Postgres of its own, trains a recipe from rendered good parts, activates it, and
    lets a camera send plates. Ends with a summary, the alert's median-gradient picture and SQL to try.
    Exit: 0 an alert was confirmed, 1 none was, 2 the set-up is wrong.
    """
    from rich.console import Console

    from deploy.demo import run_demo
    from deploy.settings import load_settings

    console = Console(record=svg is not None, width=118 if svg is not None else None)
    settings = load_settings({"state_dir": state or Path("state") / "demo", "kafka_url": "", "postgres_url": ""})
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    result = run_demo(settings, seconds, console, stopping.is_set)
    where = settings.state_dir
    console.print(f"keep asking: `sightline up --state {where}` starts the same database again", soft_wrap=True)
    if svg is not None:
        console.save_svg(str(svg), title="sightline demo")
    raise typer.Exit(0 if result.confirmed_after_s is not None else 1)

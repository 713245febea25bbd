"""`sightline demo`: the whole line on this machine, in a minute."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer


def demo(
    seconds: Annotated[float, typer.Option(min=5, help="How long the simulated line runs.")] = 40,
    product: Annotated[
        str,
        typer.Option(
            help="plate: a fixture scratches parts. ase: a machine prints parameters beside each part, and wears. "
            "fused: the same, picture and parameters in one verdict (extras train and boost, minutes of training)."
        ),
    ] = "plate",
    state: Annotated[Path | None, typer.Option(help="Folder of the demo's services, evidence and logs.")] = None,
    svg: Annotated[
        Path | None, typer.Option(help="Also save the run's highlights as an SVG picture, and alert.png beside it.")
    ] = None,
) -> None:
    """Run a line with a simulated camera and watch: verdicts scroll by, then a fixture starts to scratch the parts.

    Starts a real Kafka and a real Postgres of its own, trains a recipe from rendered good parts, activates it, and
    lets a camera send plates. Ends with a summary, the alert's median-gradient picture and SQL to try.
    With --product ase the machine prints sixteen parameters into every picture, each is read, and one drifts.
    Exit: 0 an alert was confirmed, 1 none was, 2 the set-up is wrong.
    """
    from rich.console import Console

    from deploy.demo import run_demo, shown_path
    from deploy.demo_products import demo_product
    from deploy.highlights import Highlights
    from deploy.settings import load_settings

    made = demo_product(product)
    out = Highlights(Console())
    settings = load_settings({"state_dir": state or Path("state") / "demo", "kafka_url": "", "postgres_url": ""})
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    result = run_demo(settings, made, seconds, out, stopping.is_set)
    where = shown_path(settings.state_dir)
    out.event(f"keep asking: `sightline up --state {where}` starts the same database again")
    if svg is not None:
        svg.parent.mkdir(parents=True, exist_ok=True)
        out.save_svg(svg, "sightline demo")
        if result.picture is not None:
            (svg.parent / "alert.png").write_bytes(result.picture.read_bytes())
    shown = result.confirmed_after_s is not None
    raise typer.Exit(0 if shown else 1)

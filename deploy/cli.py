"""The `sightline` command: one module of deploy/commands a command, registered here."""

from __future__ import annotations

import sys

import typer

from deploy.commands import (
    activate,
    alerts,
    bench,
    bundle,
    calibrate,
    camera,
    dead_letters,
    demo,
    doctor,
    evaluate,
    history,
    inspect,
    layout,
    migrate,
    review,
    schema,
    systematic,
    train,
    up,
    watch,
    worker,
)
from schemas.errors import SetupError, SightlineError

app = typer.Typer(
    name="sightline",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Streaming line inspection: cameras to Kafka, Faust agents, verdicts and alerts in Postgres.",
)

app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("camera")(camera.camera)
app.command("train")(train.train)
app.command("layout")(layout.layout)
app.command("calibrate")(calibrate.calibrate)
app.command("evaluate")(evaluate.evaluate)
app.command("worker")(worker.worker)
app.command("inspect")(inspect.inspect)
app.command("activate")(activate.activate)
app.command("bench")(bench.bench)
app.command("watch")(watch.watch)
app.command("history")(history.history)
app.command("review")(review.review)
app.command("systematic")(systematic.systematic)
app.command("baseline")(systematic.baseline)
app.command("schema")(schema.schema)
app.command("doctor")(doctor.doctor)
app.command("migrate")(migrate.migrate)
app.add_typer(alerts.app, name="alerts")
app.add_typer(dead_letters.app, name="dead-letters")

bundle_app = typer.Typer(
    no_args_is_help=True, help="Look into a bundle, compare its backends, build it for this machine."
)
bundle_app.command("check")(bundle.check)
bundle_app.command("parity")(bundle.parity)
bundle_app.command("compile")(bundle.compile_)
app.add_typer(bundle_app, name="bundle")


def main() -> None:
    """Run the command line: exit 0 fine, 1 the answer is no, 2 set-up is wrong."""
    try:
        app()
    except SetupError as error:
        print(f"sightline: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except SightlineError as error:
        print(f"sightline: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

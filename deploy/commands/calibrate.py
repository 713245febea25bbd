"""`sightline calibrate`: thresholds of a bundle from good parts alone."""

from __future__ import annotations

import json as json_codec
from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    bundle: Annotated[Path, typer.Argument(help="Bundle made by `sightline train`.")],
    good: Annotated[Path, typer.Option(help="Folder of good parts that were not trained on; 50 or more is best.")],
    bad: Annotated[
        Path | None,
        typer.Option(help="Folder of defective parts: thresholds go down to stop them, as far as the target allows."),
    ] = None,
    false_calls_per_1000: Annotated[
        float, typer.Option(help="Good parts in a thousand that may be stopped (review or fail).")
    ] = 5.0,
    out: Annotated[
        Path | None, typer.Option(help="Where the new bundle goes; else it takes the old one's place.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the confidence bound's bootstrap.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads to use.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Set a bundle's thresholds for a business target, without training again.

    The tail of the good parts' scores is extrapolated to the target; the threshold is its upper bound, so that the
    promised rate is kept as a rule. Defective parts, when given, take it down from there: then the rate is kept as
    expected, and its bound, which is printed, lies above the target. A bundle with other thresholds is another bundle:
    `activate` it.
    """
    from deploy.commands.progress import ConsoleProgress
    from engines.bundle import Bundle, write_bundle
    from pipeline.calibration import trade_off_text
    from pipeline.good_parts import picture_paths
    from pipeline.recalibration import recalibrate

    target = out or bundle
    with ConsoleProgress() as progress:
        made, found = recalibrate(
            Bundle.open(bundle),
            picture_paths(good),
            picture_paths(bad) if bad else [],
            false_calls_per_1000,
            n_threads=threads,
            seed=seed,
            progress=progress,
        )
    sha256 = write_bundle(target, made.manifest, made.members)
    if json:
        typer.echo(json_codec.dumps(found.model_dump(mode="json") | {"bundle": str(target), "sha256": sha256}))
        return
    typer.echo(
        f"{target}  sha256 {sha256}\n"
        f"{found.n_good} good parts, {found.n_uninspected} not inspected\n"
        f"review from {found.review:.3f} (was {found.review_before:.3f}), fail from {found.fail:.3f} "
        f"(was {found.fail_before:.3f})\n"
        f"of 1000 good parts {found.expected_per_1000:.1f} are expected to be stopped, at most "
        f"{found.bound_per_1000:.1f} (target {found.false_calls_per_1000:g}, confidence 95 %)"
    )
    if found.n_bad:
        typer.echo(f"{found.n_bad_caught} of {found.n_bad} defective parts, which the thresholds know, are stopped")
        typer.echo(trade_off_text(found.trade_off, f"these {found.n_bad}"))
    if found.suspects:
        typer.echo(f"look at {', '.join(found.suspects[:8])}: far from the other good parts, left out")

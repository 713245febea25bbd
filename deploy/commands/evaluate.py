"""`sightline evaluate`: how good a bundle is on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.evaluation import Evaluation

_FIGURES = (
    ("image_auroc", "image AUROC"),
    ("image_ap", "image average precision"),
    ("pixel_auroc", "pixel AUROC"),
    ("pixel_ap", "pixel average precision"),
    ("au_pro", "AU-PRO (FPR up to 0.3)"),
    ("false_calls_per_1000", "false calls per 1000 good parts"),
    ("escapes_per_1000", "escapes per 1000 bad parts"),
)


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Bundle made by `sightline train`.")],
    data: Annotated[
        Path, typer.Option(help="Folder in MVTec's layout: test/good, test/<defect>, ground_truth/<defect>.")
    ],
    backend: Annotated[str, typer.Option(help="onnxruntime, openvino, tensorrt, or auto.")] = "onnxruntime",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the engine.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Inspect every labelled picture exactly as the line would, and compare with the truth.

    A picture that cannot be aligned is `uninspected`: it does not pass, so it is no escape, but a good one is a
    false call. Intervals hold 95 %: bootstrap over pictures, Wilson's for the two rates.
    """
    from deploy.commands.progress import ConsoleProgress
    from engines.bundle import Bundle
    from pipeline.evaluation import evaluate as run
    from pipeline.inspection import Inspector

    inspector = Inspector(Bundle.open(bundle), backend=backend, n_threads=threads)
    try:
        with ConsoleProgress() as progress:
            found = run(inspector, data, progress)
    finally:
        inspector.close()
    typer.echo(found.model_dump_json() if json else _text(found))


def _text(found: Evaluation) -> str:
    lines = [f"{found.n_good} good and {found.n_bad} bad pictures, {found.n_uninspected} of them not inspected"]
    for name, words in _FIGURES:
        value = getattr(found, name)
        if value is None:
            continue
        low, high = found.intervals[name]
        digits = 1 if name.endswith("1000") else 3
        lines.append(f"{words:<34} {value:8.{digits}f}   [{low:.{digits}f}, {high:.{digits}f}]")
    lines += [f"  {kind}: {passed} of {n} passed" for kind, (passed, n) in found.escapes_by_kind.items()]
    return "\n".join(lines)

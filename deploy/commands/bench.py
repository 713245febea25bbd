"""`sightline bench`: a benchmark of benchmarks/, each beside its baseline in the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.result import BenchResult

NAMES = (
    "ablation",
    "accuracy",
    "alarm",
    "align",
    "camera",
    "fields",
    "imm",
    "inspection",
    "large",
    "line",
    "localise",
    "median",
    "oanet",
    "precisions",
    "process",
    "records",
    "reduction",
    "table",
)


def bench(
    name: Annotated[str, typer.Argument(help=" | ".join(("all", *NAMES)))] = "all",
    frames: Annotated[int | None, typer.Option(min=1, help="How many frames to time, where it matters.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Run a benchmark and print ours, its baseline from the same run, the ratio, and this machine.

    Machines are noisy: quote medians and ratios, with the machine's flags. Needs a checkout of the repository.
    The longest is oanet, which trains four networks, up to five times each: about 20 minutes on two idle cores, less
    with fewer --frames than its 971 parts; python -m benchmarks.oanet --help takes repeats, too.
    """
    from schemas.errors import InputError

    if name not in ("all", *NAMES):
        raise InputError(f"no benchmark is called {name!r}; there are {', '.join(NAMES)}, and all")
    for each in NAMES if name == "all" else (name,):
        _show(_run(each, frames), as_json=json)


def _run(name: str, frames: int | None) -> BenchResult:
    import importlib
    import inspect

    from schemas.errors import MissingExtra

    try:
        module = importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as exc:
        raise MissingExtra(exc.name or name, "test", f"benchmark {name}") from exc
    takes_frames = "frames" in inspect.signature(module.run).parameters
    result: BenchResult = module.run(frames=frames) if takes_frames and frames is not None else module.run()
    return result


def _show(result: BenchResult, *, as_json: bool) -> None:
    if as_json:
        print(result.to_json(), flush=True)
        return
    print(f"{result.name}: ours {result.ours:.4g}, baseline {result.baseline:.4g}, ratio {result.ratio:.3g}")
    for figure, value in result.figures.items():
        print(f"  {figure}: {value:.4g}" if isinstance(value, float) else f"  {figure}: {value}")
    print(f"  on {result.machine.cpu}, {result.machine.cores} cores, Python {result.machine.python}", flush=True)

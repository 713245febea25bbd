"""`sightline bench`: a benchmark of benchmarks/, each beside its baseline in the same run."""

from __future__ import annotations

from typing import Annotated

import typer

NAMES = ("accuracy", "alarm", "align", "camera", "inspection", "line", "median", "records")


def bench(
    name: Annotated[str, typer.Argument(help=" | ".join(NAMES))],
    frames: Annotated[int | None, typer.Option(min=1, help="How many frames to time, where it matters.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Run a benchmark and print ours, its baseline from the same run, the ratio, and this machine.

    Machines are noisy: quote medians and ratios, with the machine's flags. Needs a checkout of the repository.
    """
    import importlib
    import inspect

    from schemas.errors import InputError, MissingExtra

    if name not in NAMES:
        raise InputError(f"no benchmark is called {name!r}; there are {', '.join(NAMES)}")
    try:
        module = importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as exc:
        raise MissingExtra(exc.name or name, "test", f"benchmark {name}") from exc
    takes_frames = "frames" in inspect.signature(module.run).parameters
    result = module.run(frames=frames) if takes_frames and frames is not None else module.run()
    if json:
        print(result.to_json())
        return
    print(f"{result.name}: ours {result.ours:.4g}, baseline {result.baseline:.4g}, ratio {result.ratio:.3g}")
    for figure, value in result.figures.items():
        print(f"  {figure}: {value:.4g}" if isinstance(value, float) else f"  {figure}: {value}")
    print(f"  on {result.machine.cpu}, {result.machine.cores} cores, Python {result.machine.python}")

"""`sightline systematic` and `sightline baseline`: defects that keep coming back at one place, from a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands.inspect import BackendName

if TYPE_CHECKING:
    from pipeline.offline import Progress, Watched
    from schemas.recipe import WindowSettings

_MIN_WINDOW = 3


def systematic(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures of one product; their names give the order.")],
    out: Annotated[Path, typer.Option(help="PNG to write: what keeps coming back, drawn over the part.")],
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle that aligns and scores them, as on the line; without it they lie in register."),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Folder of good parts, whose own edges are taken off; else the bundle's.")
    ] = None,
    window: Annotated[int, typer.Option(min=_MIN_WINDOW, max=255, help="Frames in the rolling window.")] = 31,
    clear_after: Annotated[int, typer.Option(min=1, help="Clean frames after which an alert clears.")] = 60,
    backend: Annotated[BackendName, typer.Option(help="Engine that runs the bundle's model.")] = BackendName.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Find what is wrong at the same place on part after part, as the line's root-cause agent would, offline.

    With neither --bundle nor --baseline every edge that the pictures share is shown: right for textures and
    mixed pictures, wrong for a product with a design of its own. Exit 0, whether or not something was found.

    Try: sightline systematic pictures/ --baseline good/ --out marks.png
    """
    from deploy.commands.progress import ConsoleProgress
    from pipeline.good_parts import picture_paths
    from schemas.errors import InputError
    from schemas.recipe import WindowSettings

    paths = picture_paths(folder)
    if len(paths) < _MIN_WINDOW:
        raise InputError(f"{folder} holds {len(paths)} pictures; give at least {_MIN_WINDOW}")
    settings = WindowSettings(frames=min(window, len(paths)), clear_after_frames=clear_after)
    good = None if baseline is None else picture_paths(baseline)
    with ConsoleProgress() as progress:
        if bundle is None:
            watched = _follow_in_register(paths, good, settings, progress)
        else:
            watched = _follow_through_bundle(paths, good, bundle, settings, backend.value, progress)
    written = _write_pictures(watched, out)
    typer.echo(_json(watched, written) if as_json else _text(watched, written))


def _follow_in_register(
    paths: list[Path], good: list[Path] | None, settings: WindowSettings, progress: Progress
) -> Watched:
    from pipeline.offline import blank_baseline, commission, plain_frames, watch

    if good is None:
        golden = blank_baseline(plain_frames(paths, settings, progress))
    else:
        golden = commission(plain_frames(good, settings, progress))
    return watch(plain_frames(paths, settings, progress), golden, None)


def _follow_through_bundle(
    paths: list[Path], good: list[Path] | None, bundle: Path, settings: WindowSettings, backend: str, progress: Progress
) -> Watched:
    from deploy.engine_cache import engine_cache
    from engines.bundle import Bundle
    from pipeline.inspection import Inspector
    from pipeline.offline import bundle_frames, commission, product_baseline, watch
    from pipeline.process_signals import usual_of_bundle

    opened = Bundle.open(bundle)
    inspector = Inspector(opened, backend=backend, cache_dir=engine_cache())
    if good is None:
        golden = product_baseline(opened)
    else:
        golden = commission(bundle_frames(good, inspector, settings, progress), opened.foreground())
    watched = watch(
        bundle_frames(paths, inspector, settings, progress), golden, opened.template_grey(), usual_of_bundle(opened)
    )
    inspector.close()
    return watched


def _write_pictures(watched: Watched, out: Path) -> list[Path]:
    """The first mark goes to `out`, others beside it; without any the map as it stands at the end."""
    from pipeline.gradient_map import ALONE_NOISE, deviation
    from pipeline.mark_picture import draw_mark

    out.parent.mkdir(parents=True, exist_ok=True)
    pictures = list(watched.pictures.values())
    if not pictures:
        state = watched.state
        window, golden = state.window, state.scene.baseline
        ground = state.template if state.template is not None else window.slot(window.last_slot).picture
        if golden is None:
            raise AssertionError("a baseline is given, or learnt from the first window")
        caption = f"nothing keeps coming back in {watched.n_frames} pictures"
        pictures = [draw_mark(ground, deviation(window, golden), ALONE_NOISE, [], caption)]
    written = [out if n == 0 else out.with_stem(f"{out.stem}-{n + 1}") for n in range(len(pictures))]
    for path, png in zip(written, pictures, strict=True):
        path.write_bytes(png)
    return written


def _json(watched: Watched, written: list[Path]) -> str:
    return json.dumps(
        {
            "n_frames": watched.n_frames,
            "n_skipped": watched.n_skipped,
            "window": watched.state.window.n_window_frames,
            "window_hash": watched.state.window_hash,
            "open": watched.state.open_alerts,
            "alerts": [alert.model_dump(mode="json", by_alias=True) for alert in watched.alerts],
            "pictures": [str(path) for path in written],
        }
    )


def _text(watched: Watched, written: list[Path]) -> str:
    lines = [alert.text for alert in watched.alerts] or ["Nothing keeps coming back at one place."]
    skipped = f", {watched.n_skipped} could not be aligned" if watched.n_skipped else ""
    lines.append(f"{watched.n_frames} pictures followed{skipped}; drawn: {', '.join(str(path) for path in written)}")
    return "\n".join(lines)


def baseline(
    bundle: Annotated[Path, typer.Argument(help="Bundle made by `sightline train`.")],
    good: Annotated[Path, typer.Option(help="Folder of good parts, by name in the order they were made; 100 or more.")],
    out: Annotated[Path, typer.Option(help="Bundle to write: the same model with the new baseline.")],
    backend: Annotated[BackendName, typer.Option(help="Engine that runs the model.")] = BackendName.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Learn the golden baseline anew: what good parts look like to the systematic-defect alarm, and how they vary.

    Nothing else ever changes it: do this when the line is known to be in order, after a new tool, lens or lamp.
    The bundle gets another sha256; `sightline activate` puts it on a station.

    Try: sightline baseline screw.bundle --good commissioning/ --out screw-2.bundle
    """
    from deploy.commands.progress import ConsoleProgress
    from deploy.engine_cache import engine_cache
    from engines.bundle import BASELINE, Bundle, write_bundle
    from pipeline.good_parts import picture_paths
    from pipeline.inspection import Inspector
    from pipeline.offline import bundle_frames, commission
    from schemas.recipe import WindowSettings

    opened = Bundle.open(bundle)
    paths = picture_paths(good)
    inspector = Inspector(opened, backend=backend.value, cache_dir=engine_cache())
    with ConsoleProgress() as progress:
        frames = bundle_frames(paths, inspector, WindowSettings(), progress)
        golden = commission(frames, opened.foreground())
    inspector.close()
    sha256 = write_bundle(out, opened.manifest, {**opened.members, BASELINE: golden.to_bytes()})
    if as_json:
        typer.echo(json.dumps({"bundle": str(out), "sha256": sha256, "n_frames": golden.n_frames}))
    else:
        typer.echo(
            f"{out}: baseline of {golden.n_frames} of {len(paths)} good parts, sha256 {sha256}\n"
            f"put it on a station: sightline activate {out} --station SITE/LINE/STATION --product"
            f" {opened.manifest.product}"
        )

"""`sightline bundle check | parity | compile`: is it whole, do its backends agree, build it for this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands.inspect import BackendName, picture_files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engines.bundle import Bundle
    from engines.manifest import ParityReport
    from schemas.errors import SetupError

_Bundle = Annotated[Path, typer.Argument(help="Bundle made by `sightline train`.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def check(bundle: _Bundle, as_json: _AsJson = False) -> None:
    """Verify every member's sha256, load what runs, and say what the bundle is. Exit 2 when anything is wrong."""
    from engines.bundle import Bundle
    from engines.engine import load_backend
    from engines.parity import REFERENCE, probe_frames
    from pipeline.fusion_members import Fuser

    opened = Bundle.open(bundle)
    template, foreground = opened.template(), opened.foreground()
    engine = load_backend(opened, REFERENCE)
    engine.infer(probe_frames(template)[0][None])
    engine.close()
    Fuser.of_bundle(opened)
    if as_json:
        typer.echo(f'{{"sha256": "{opened.sha256}", "manifest": {opened.manifest.model_dump_json()}}}')
        return
    typer.echo("\n".join(_description(opened, foreground is not None)))


def _description(bundle: Bundle, has_foreground: bool) -> list[str]:
    manifest = bundle.manifest
    made = manifest.calibration
    parity = manifest.parity
    lines = [
        f"sha256      {bundle.sha256}",
        f"product     {manifest.product}, made {manifest.created_at:%Y-%m-%d %H:%M} UTC by version {manifest.version}",
        "frames      {}x{} px, {}, inspected at {}x{} px".format(
            *manifest.frame_size_px, manifest.colour, *manifest.input_size_px
        )
        + (f", decoded at 1/{manifest.decode_reduction} of their size" if manifest.decode_reduction > 1 else ""),
        f"alignment   {manifest.align.motion if manifest.align else 'none'}"
        + (f", residual up to {manifest.align.residual_limit:.3f}" if manifest.align else ""),
        f"foreground  {'its own mask' if has_foreground else 'everything is scored'}",
        f"thresholds  review {manifest.thresholds.review:.4g}, fail {manifest.thresholds.fail:.4g}, "
        f"from {made.n_good} good parts"
        + ("" if made.false_calls_per_1000 is None else f" for {made.false_calls_per_1000:g} false calls in 1000"),
        f"model       {manifest.backbone}, {len(bundle.model) / 1e6:.1f} MB, {manifest.precision}",
        "parity      "
        + ("never measured" if parity is None else ", ".join(_short(parity)) + f" on {parity.n_pictures} pictures"),
    ]
    lines += [
        f"  {name:<16} {member.size_bytes:>10} B  sha256 {member.sha256} matches"
        for name, member in sorted(manifest.members.items())
    ]
    return lines


def _short(report: ParityReport) -> list[str]:
    return [f"{each.backend} {each.version} {'holds' if each.holds else 'DIFFERS'}" for each in report.entries]


def parity(
    bundle: _Bundle,
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Pictures or folders to compare on; without them the template's own.")
    ] = None,
    backend: Annotated[
        BackendName, typer.Option(help="Insist on this one beside the reference; auto: all that run here.")
    ] = BackendName.AUTO,
    as_json: _AsJson = False,
) -> None:
    """Run every backend of this machine beside the reference on the same pictures.

    Exit 1 when one disagrees, 2 when the one that --backend names does not run here or does not run this bundle.
    """
    from engines.bundle import Bundle
    from engines.engine import BACKENDS, load_backend
    from engines.parity import REFERENCE, measure_parity, probe_frames
    from pipeline.score_map import ScoreMapper

    opened = Bundle.open(bundle)
    frames = _model_inputs(opened, picture_files(pictures)) if pictures else probe_frames(opened.template())
    engine = load_backend(opened, REFERENCE)
    rows, columns = engine.infer(frames[0][None]).shape[2:]
    engine.close()
    mapper = ScoreMapper.build(opened.manifest.score, opened.manifest.input_size_px, (rows, columns))
    foreground = opened.foreground()
    wanted = BACKENDS if backend is BackendName.AUTO else (backend.value,)
    report = measure_parity(opened, frames, lambda grid: mapper.frame_score(mapper.map(grid, foreground)), wanted)
    left_out = _left_out(opened, set(wanted) - {each.backend for each in report.entries})
    if left_out and backend is not BackendName.AUTO:
        raise left_out[backend.value]
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        typer.echo(f"{report.n_pictures} pictures, reference {report.reference}, tolerance {report.tolerance:.3g}")
        for each in report.entries:
            verdict = "holds" if each.holds else "DIFFERS"
            typer.echo(
                f"{each.backend:<12} {each.version:<10} {each.precision}  {verdict:<8} "
                f"greatest difference {each.max_difference:.3g}, {each.n_flips} flips  {each.detail}".rstrip()
            )
        for name, why in left_out.items():
            typer.echo(f"{name:<12} left out: {why}")
    if not report.holds:
        raise typer.Exit(1)


def _left_out(bundle: Bundle, backends: set[str]) -> dict[str, SetupError]:
    """Why each of `backends`, which the report lacks, does not run `bundle` here."""
    from engines.engine import load_backend
    from schemas.errors import SetupError

    why: dict[str, SetupError] = {}
    for name in sorted(backends):
        try:
            load_backend(bundle, name).close()
        except SetupError as error:
            why[name] = error
    return why


def _model_inputs(bundle: Bundle, paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """Every picture aligned and warped, as the line would. Raises: InputError when none can be."""
    import numpy as np

    from pipeline.good_parts import read_picture
    from pipeline.preparation import Preparation
    from schemas.errors import InputError

    preparation = Preparation.of_bundle(bundle)
    prepared = [preparation.prepare(read_picture(path, preparation.decode_rules)[0])[1] for path in paths]
    frames = [np.ascontiguousarray(each.tensor) for each in prepared if each is not None]
    if not frames:
        raise InputError(f"none of the {len(paths)} pictures could be aligned; parity needs at least one")
    return frames


def compile_(
    bundle: _Bundle,
    backend: Annotated[BackendName, typer.Option(help="tensorrt or openvino; auto: whatever this machine has.")] = (
        BackendName.AUTO
    ),
    out: Annotated[
        Path | None, typer.Option(help="Folder for compiled engines; Sightline's cache folder when absent.")
    ] = None,
) -> None:
    """Build the engine for this machine ahead of time and keep it, so that a worker starts without waiting for it."""
    from deploy.engine_cache import engine_cache
    from engines.bundle import Bundle
    from engines.engine import load_backend
    from schemas.errors import SetupError

    opened = Bundle.open(bundle)
    folder = out or engine_cache()
    wanted = [backend.value] if backend is not BackendName.AUTO else ["tensorrt", "openvino"]
    n_built = 0
    for name in wanted:
        try:
            engine = load_backend(opened, name, 1, folder)
        except SetupError as error:
            if backend is not BackendName.AUTO:
                raise
            typer.echo(f"{name}: not on this machine: {error}")
            continue
        typer.echo(f"{name} {engine.version}: ready, kept in {folder}")
        engine.close()
        n_built += 1
    if not n_built:
        raise typer.Exit(1)

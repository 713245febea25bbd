"""`sightline train`: a bundle from good parts."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer


class BackboneName(StrEnum):
    """Which features a model is made of."""

    STUDENT = "student"
    RESNET18 = "resnet18"


class MotionName(StrEnum):
    """What a part may do between frames."""

    NONE = "none"
    RIGID = "rigid"
    SIMILARITY = "similarity"
    AFFINE = "affine"


class AlignImageName(StrEnum):
    """What is brought into register."""

    GREY = "grey"
    EDGES = "edges"


class AlignStartName(StrEnum):
    """Where the alignment of a frame starts."""

    SEARCH = "search"
    NETWORK = "network"


class PrecisionName(StrEnum):
    """Arithmetic of the backbone."""

    INT8 = "int8"
    INT8_SYMMETRIC = "int8-symmetric"
    F16 = "f16"
    F32 = "f32"


class LocaliserName(StrEnum):
    """What scores a place."""

    DISTANCE = "distance"
    ALM = "alm"
    BOTH = "both"


class ScoredName(StrEnum):
    """Where a picture is scored."""

    PART = "part"
    ALL = "all"


class GridName(StrEnum):
    """Sides of the tiles that are scored one by one."""

    USUAL = "8"
    FINE = "4"


_GRIDS_PX: dict[GridName, Literal[8, 4]] = {GridName.USUAL: 8, GridName.FINE: 4}


class ReductionName(StrEnum):
    """At which fraction of their size frames are decoded."""

    AUTO = "auto"
    NONE = "1"
    HALF = "2"
    QUARTER = "4"


_REDUCTIONS: dict[ReductionName, Literal["auto", 1, 2, 4]] = {
    ReductionName.AUTO: "auto",
    ReductionName.NONE: 1,
    ReductionName.HALF: 2,
    ReductionName.QUARTER: 4,
}


class DeviceName(StrEnum):
    """Where networks learn."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class ColourName(StrEnum):
    """Whether colour is looked at."""

    AUTO = "auto"
    GREY = "grey"
    RGB = "rgb"


def train(
    product: Annotated[str, typer.Argument(help="Name of the product, as frames and recipes call it.")],
    good: Annotated[Path, typer.Option(help="Folder of pictures of good parts, all of one size; 50 or more is best.")],
    out: Annotated[Path, typer.Option(help="Bundle to write, e.g. screw.bundle.")],
    bad: Annotated[
        Path | None,
        typer.Option(help="Folder of defective parts: thresholds go down to stop them if the target allows."),
    ] = None,
    backbone: Annotated[
        BackboneName, typer.Option(help="student: ours, ships with Sightline, fast. resnet18: see --weights.")
    ] = BackboneName.STUDENT,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights (.npz) for the backbone; resnet18 without them takes torchvision's."),
    ] = None,
    motion: Annotated[
        MotionName,
        typer.Option(help="How parts may lie: rigid is shifted and turned at any angle; none is not aligned."),
    ] = MotionName.RIGID,
    align_image: Annotated[
        AlignImageName,
        typer.Option(
            help="What is brought into register: grey levels, or edges, where light from one side strikes a part "
            "differently as it turns and places on the part must be exact; see docs/alignment.md."
        ),
    ] = AlignImageName.GREY,
    align_start: Annotated[
        AlignStartName,
        typer.Option(
            help="Where the alignment starts: search needs no training. network trains a matching network as well "
            "(minutes, needs torch, goes on where it was broken off); the line then runs it without torch."
        ),
    ] = AlignStartName.SEARCH,
    precision: Annotated[
        PrecisionName,
        typer.Option(
            help="Arithmetic of the backbone. int8: 8 bits, fastest on CPUs; not for TensorRT. int8-symmetric: 8 bits "
            "around zero, for TensorRT and CPUs. f16: half precision, for TensorRT; CPUs compute it in float32. "
            "f32: runs everywhere, slowest."
        ),
    ] = PrecisionName.INT8,
    localiser: Annotated[
        LocaliserName,
        typer.Option(
            help="distance: how far a place is from good parts; seconds. alm: a mapping network taught "
            "by generated defects; learns defects' shapes well, whole frames less well. both: their product, sharpest "
            "at outlining defects. The last two take minutes; see docs/accuracy.md."
        ),
    ] = LocaliserName.DISTANCE,
    input_px: Annotated[
        int, typer.Option(min=64, max=2048, help="Longest side, in pixels, at which parts are inspected.")
    ] = 256,
    grid_px: Annotated[
        GridName,
        typer.Option(
            help="Sides, in pixels as inspected, of the tiles scored one by one. 4 outlines defects on textures "
            "more closely with resnet18, but scoring, training and the bundle take up to three times as much "
            "(docs/bundles.md)."
        ),
    ] = GridName.USUAL,
    decode_reduction: Annotated[
        ReductionName,
        typer.Option(
            help="Decode frames at 1/2 or 1/4 of their size, which makes large ones quicker to align and inspect; "
            "places stay in pixels as sent. auto: the most that leaves two decoded pixels to each that is inspected."
        ),
    ] = ReductionName.AUTO,
    scored: Annotated[
        ScoredName,
        typer.Option(
            help="part: what sharp outlines enclose, and a rim; look at the report's scored region. all: the whole "
            "picture, shadows and the table around the part too, as always with --motion none and where the part fills "
            "the picture."
        ),
    ] = ScoredName.PART,
    um_per_px: Annotated[
        float | None,
        typer.Option(help="Micrometres a pixel of the pictures, for `activate --min-area-mm2`."),
    ] = None,
    colour: Annotated[ColourName, typer.Option(help="auto: colour when the good parts show any.")] = ColourName.AUTO,
    false_calls_per_1000: Annotated[
        float, typer.Option(help="Good parts in a thousand that may be stopped (review or fail).")
    ] = 5.0,
    variations: Annotated[
        int, typer.Option(min=0, help="Learn also from so many variations of each good picture: 40 for a golden board.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed and pictures give the same bundle; nearly, on a GPU.")] = 0,
    fields: Annotated[
        Path | None,
        typer.Option(help="Layout of printed machine parameters, from `sightline layout`: read on the line."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="labels.csv with the columns picture (beside it) and label (good, defective): picture and --fields "
            "are fused into one verdict. Needs the extras train and boost, and minutes."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads to use.")] = 1,
    device: Annotated[
        DeviceName,
        typer.Option(
            help="Where networks learn (--localiser alm or both, --align-start network, --labels); the rest is "
            "done on the CPU. auto: cuda when torch is installed and sees a GPU."
        ),
    ] = DeviceName.AUTO,
    created_at: Annotated[
        datetime | None, typer.Option(help="Time written into the bundle (UTC); now when absent.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Learn a product from pictures of good parts: template, alignment, model, thresholds, parity gate, bundle.

    Needs no GPU and no download. Takes seconds for small pictures, minutes for hundreds of large ones or where a
    network is learnt, which a GPU shortens.
    """
    from deploy.commands.progress import ConsoleProgress
    from engines.training_device import training_device
    from pipeline.bundling import train_bundle
    from pipeline.field_members import FieldMembers
    from pipeline.fusion_bundling import teach_fusion
    from pipeline.good_parts import good_paths, picture_paths
    from pipeline.labelled_parts import read_labels
    from pipeline.training import TrainSettings
    from schemas.errors import InputError

    if um_per_px is not None and um_per_px <= 0:
        raise InputError(f"--um-per-px {um_per_px}: give micrometres a pixel, above 0")
    if labels is not None:
        if fields is None:
            raise InputError("--labels fuses a picture with its machine parameters: give --fields layout.toml as well")
        read_labels(labels)
    networks = localiser is not LocaliserName.DISTANCE or align_start is AlignStartName.NETWORK or labels is not None
    if device is DeviceName.CUDA and not networks:
        raise InputError(
            "--device cuda: no network is learnt here; it is for --localiser alm or both, --align-start network and "
            "--labels"
        )
    learns_on = training_device(device.value if networks else "cpu")
    settings = TrainSettings(
        device=learns_on,
        motion=motion.value,
        precision=precision.value,
        localiser=localiser.value,
        scored=scored.value,
        input_px=input_px,
        grid_px=_GRIDS_PX[grid_px],
        decode_reduction=_REDUCTIONS[decode_reduction],
        false_calls_per_1000=false_calls_per_1000,
        seed=seed,
        n_threads=threads,
        um_per_px=um_per_px,
        align_image=align_image.value,
        align_start=align_start.value,
        network_checkpoint=out.with_suffix(".matcher.npz") if align_start is AlignStartName.NETWORK else None,
    )
    when = datetime.now(UTC) if created_at is None else created_at.replace(tzinfo=created_at.tzinfo or UTC)
    with ConsoleProgress() as progress:
        summary = train_bundle(
            product,
            good_paths(good),
            picture_paths(bad) if bad is not None else [],
            backbone=backbone.value,
            weights=weights,
            colour=colour.value,
            settings=settings,
            created_at=when,
            out=out,
            progress=progress,
            variations=variations,
            fields=None if fields is None else FieldMembers.open(fields),
        )
        if labels is not None:
            fused = teach_fusion(out, labels, seed=seed, progress=progress, device=learns_on, n_threads=threads)
            summary = summary.model_copy(
                update={"sha256": fused.sha256, "size_bytes": fused.size_bytes, "fusion": fused}
            )
    typer.echo(summary.model_dump_json() if json else summary.text())

"""`sightline camera`: publish frames from a folder, a video or the simulated line."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.options import KafkaOption, StateOption, settings_of

if TYPE_CHECKING:
    from agents.camera import CameraSettings, Shutter
    from agents.frame_sources import FrameSource, SimulatorSettings

_Count = Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")]


def camera(
    source: Annotated[str, typer.Option(help="Who this camera is: /site/line/station.")],
    product: Annotated[
        str | None, typer.Option(help="Product on the line; else the one the station is set to.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Send the pictures of this folder, bytes untouched.")] = None,
    video: Annotated[str | None, typer.Option(help="Send a video file, an rtsp:// stream, or camera 0, 1, ...")] = None,
    simulate: Annotated[str | None, typer.Option(help="Send the simulated line of this name: plate, ase.")] = None,
    fps: Annotated[float | None, typer.Option(min=0.001, help="Frames per second; else as fast as it goes.")] = None,
    count: _Count = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again when folder or video end.")] = False,
    kafka: KafkaOption = None,
    state: StateOption = None,
    lot: Annotated[str | None, typer.Option(help="Lot, batch or carrier the parts belong to.")] = None,
    identity: Annotated[
        str, typer.Option("--id", help="boot: each shot is a new frame. content: the same picture is the same frame.")
    ] = "boot",
    claims: Annotated[
        str | None, typer.Option(help="Where pictures above 2 MiB go: file:///folder or s3://bucket the workers read.")
    ] = None,
    spool_mb: Annotated[int, typer.Option(min=1, help="Most the spool may take on disk, in MB.")] = 2048,
    drain_s: Annotated[
        float | None, typer.Option(min=0, help="After the last frame, longest wait for the broker; else no limit.")
    ] = None,
    linger_ms: Annotated[int, typer.Option(min=0, max=1000, help="How long a batch waits for company.")] = 0,
    encode: Annotated[str, typer.Option(help="Video frames as png (lossless) or jpeg (quality 95).")] = "png",
    seed: Annotated[int, typer.Option(min=0, help="Simulated line: the same seed makes the same units.")] = 7,
    size_px: Annotated[int, typer.Option(min=64, max=4096, help="Simulated line: side of its pictures.")] = 256,
    defect_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Simulated line: share of faulty units; else the line's own.")
    ] = None,
    scratch_from: Annotated[
        int | None, typer.Option(min=0, help="Simulated line: from this unit on the fixture scratches parts.")
    ] = None,
    scratch_rate: Annotated[float, typer.Option(min=0.001, max=1, help="Simulated line: share it scratches.")] = 1.0,
    wear_from: Annotated[
        int | None, typer.Option(min=0, help="Simulated ase line: from this unit on its machine wears.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Publish frames to Kafka: acks=all, idempotent, in order; spooled to disk while the broker is away.

    Give one of --folder, --video, --simulate. Frames count as delivered when the broker has acknowledged them. An
    oversized picture, a file that is no picture, a full spool: refused, said and counted. With --fps the camera
    keeps its pace whatever happens; without it it waits for the broker. Ctrl-C or SIGTERM ends cleanly.
    Exit: 0 all delivered, 1 something was refused or still waits in the spool, 2 set-up is wrong.

    Try: sightline camera --source /lab/line1/cam0 --product plate --simulate plate --fps 20 --count 200
    """
    import json as json_codec

    from rich.console import Console

    from agents.camera import run_camera
    from agents.frame_sources import SimulatorSettings
    from deploy.camera_display import CameraDisplay
    from deploy.camera_setup import MEGABYTE, CameraDelivery, open_publisher

    who = _identity(source, product, lot, identity)
    simulated = SimulatorSettings(seed, size_px, defect_rate, scratch_from, scratch_rate, wear_from)
    frames = _source(folder, video, simulate, loop=loop, encode=encode, simulated=simulated)
    settings = settings_of(kafka=kafka, state=state)
    delivery = CameraDelivery(spool_mb * MEGABYTE, linger_ms, claims, waits=fps is None)
    shutter = _shutter(fps, count, drain_s)
    with CameraDisplay(Console(stderr=True), who.station, frames.description) as display:
        publisher = open_publisher(settings, who.station, delivery, display.notice)
        report = run_camera(frames, who, publisher, shutter, notice=display.notice, show=display.show)
    display.summarise(report)
    if json:
        print(json_codec.dumps(report.as_json()))
    if not report.all_delivered:
        raise typer.Exit(1)


def _identity(source: str, product: str | None, lot: str | None, identity: str) -> CameraSettings:
    from agents.camera import CameraSettings, FrameIdentity, boot_epoch
    from schemas.errors import InputError
    from schemas.frame import station_of_source

    try:
        station = station_of_source(source)
    except ValueError as exc:
        raise InputError(f"--source {source!r} is not /site/line/station, such as /lab/line1/cam0") from exc
    if identity not in tuple(FrameIdentity):
        raise InputError(f"--id {identity!r} is neither boot nor content")
    epoch = boot_epoch(time.time_ns() // 1_000_000)
    return CameraSettings(station, epoch, product, lot, FrameIdentity(identity))


def _source(
    folder: Path | None,
    video: str | None,
    simulate: str | None,
    *,
    loop: bool,
    encode: str,
    simulated: SimulatorSettings,
) -> FrameSource:
    from agents.frame_sources import FolderSource, VideoSource, simulator
    from schemas.errors import InputError

    if sum(choice is not None for choice in (folder, video, simulate)) != 1:
        raise InputError("give one source of pictures: --folder DIR, --video FILE or --simulate NAME")
    if folder is not None:
        return FolderSource(folder, loop=loop)
    if video is not None:
        return VideoSource(video, encoding=encode, loop=loop)
    return simulator(simulate or "", simulated)


def _shutter(fps: float | None, count: int | None, drain_s: float | None) -> Shutter:
    from agents.camera import Pacer, Shutter

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return Shutter(Pacer(fps), stop, count, drain_s)

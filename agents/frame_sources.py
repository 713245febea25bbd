"""Where a camera process gets its pictures: a folder, a video, the simulated line."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from schemas.errors import InputError
from schemas.frame import MAGIC

if TYPE_CHECKING:
    import cv2

SUFFIXES: Mapping[str, str] = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/bmp": ".bmp",
    "image/tiff": ".tif",
}
_PICTURE_NAMES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"))
JPEG_QUALITY = 95
_N_MAGIC = 8


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture as encoded by its camera, and what is known of the part on it."""

    picture: bytes
    content_type: str
    unit_id: str | None = None
    lot: str | None = None


@dataclass(frozen=True, slots=True)
class RefusedShot:
    """Something that was offered as a picture and is none; `reason` says what it is and what to do."""

    reason: str


class FrameSource(Protocol):
    """An iterable of shots that ends, or does not; `description` names it in progress and summary."""

    @property
    def description(self) -> str: ...
    def __iter__(self) -> Iterator[Shot | RefusedShot]: ...


def content_type_of(picture: bytes) -> str | None:
    """The content type that the first bytes of `picture` say, None when it is no picture we know."""
    return next((kind for kind, magics in MAGIC.items() if picture.startswith(magics)), None)


class FolderSource:
    """The picture files of a folder and its sub-folders, sorted by path, bytes untouched.

    The unit id is the path below the folder without its suffix. Files whose names are not those of pictures
    are left alone; a file with a picture's name that is none is refused.

    Args: loop: begin again after the last file, for ever.
    Raises: InputError when the folder is absent or holds no picture file.
    """

    def __init__(self, folder: Path, *, loop: bool = False) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder: give --folder the folder that holds the pictures")
        self._folder, self._loop = folder, loop
        self._paths = sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in _PICTURE_NAMES and path.is_file()
        )
        if not self._paths:
            names = ", ".join(sorted(_PICTURE_NAMES))
            raise InputError(f"{folder} holds no picture: looked for files ending in {names}")
        self.description = f"{len(self._paths)} pictures of {folder}"

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Shot | RefusedShot]:
        while True:
            for path in self._paths:
                yield self._shoot(path)
            if not self._loop:
                return

    def _shoot(self, path: Path) -> Shot | RefusedShot:
        try:
            picture = path.read_bytes()
        except OSError as exc:
            return RefusedShot(f"{path} cannot be read: {exc.strerror or exc}")
        content_type = content_type_of(picture)
        if content_type is None:
            begins = picture[:_N_MAGIC].hex(" ") or "nothing"
            return RefusedShot(f"{path} is no JPEG, PNG, BMP or TIFF picture: it begins with {begins}")
        return Shot(picture, content_type, path.relative_to(self._folder).with_suffix("").as_posix())


class VideoSource:
    """The frames of a video file, a stream URL or a local camera's number, each encoded as PNG or JPEG.

    Args:
        video: whatever OpenCV opens: a path, ``rtsp://...``, or a digit for a camera of this machine.
        encoding: ``png`` (lossless) or ``jpeg`` (quality 95).
        loop: begin again after the last frame, for ever.
    Raises: InputError when it cannot be opened.
    """

    def __init__(self, video: str, *, encoding: str = "png", loop: bool = False) -> None:
        if encoding not in ("png", "jpeg"):
            raise InputError(f"encoding {encoding!r} is neither png nor jpeg")
        self._video, self._encoding, self._loop = video, encoding, loop
        self._name = Path(video).stem or video
        self._open().release()
        self.description = f"video {video}, frames encoded as {encoding}"

    def __iter__(self) -> Iterator[Shot | RefusedShot]:
        import cv2

        suffix, options = {
            "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
            "jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]),
        }[self._encoding]
        number = 0
        while True:
            capture, n_before = self._open(), number
            try:
                while True:
                    got, pixels = capture.read()
                    if not got:
                        break
                    done, encoded = cv2.imencode(suffix, pixels, options)
                    unit_id = f"{self._name}-{number:06d}"
                    number += 1
                    if done:
                        yield Shot(encoded.tobytes(), f"image/{self._encoding}", unit_id)
                    else:
                        yield RefusedShot(f"frame {unit_id} of {self._video} cannot be encoded as {self._encoding}")
            finally:
                capture.release()
            if number == n_before:
                yield RefusedShot(f"{self._video} has no frame that can be decoded")
                return
            if not self._loop:
                return

    def _open(self) -> cv2.VideoCapture:
        import cv2

        is_device = self._video.isdigit()
        if not is_device and "://" not in self._video and not Path(self._video).is_file():
            raise InputError(f"video {self._video} does not exist")
        capture = cv2.VideoCapture(int(self._video)) if is_device else cv2.VideoCapture(self._video)
        if not capture.isOpened():
            raise InputError(f"OpenCV cannot open the video {self._video}: check the path and that its codec is common")
        return capture


_PLATE_DEFECT_RATE = 0.004
_WEAR_SPREADS, _WEAR_PARTS = 4.0, 40


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """What a simulated line is asked for.

    `defect_rate` None: the line's own; `scratch_from` None: a sound fixture; `wear_from` None: a sound machine.
    """

    seed: int = 7
    size_px: int = 256
    defect_rate: float | None = None
    scratch_from: int | None = None
    scratch_rate: float = 1.0
    wear_from: int | None = None


class PlateSource:
    """The simulated line of machined plates, PNG encoded, without end."""

    def __init__(self, settings: SimulatorSettings) -> None:
        from pipeline.plate import FixtureScratch, SimulatedLine

        scratch = settings.scratch_from
        try:
            fixture = None if scratch is None else FixtureScratch(scratch, settings.scratch_rate)
            self._line = SimulatedLine(
                settings.seed,
                size_px=settings.size_px,
                defect_rate=_PLATE_DEFECT_RATE if settings.defect_rate is None else settings.defect_rate,
                fixture=fixture,
            )
        except ValueError as exc:
            raise InputError(f"the simulated line cannot be set up: {exc}") from exc
        self.description = f"simulated plates {settings.size_px}x{settings.size_px}, seed {settings.seed}"

    def __iter__(self) -> Iterator[Shot | RefusedShot]:
        from pipeline.plate import encode_png

        for unit in self._line:
            yield Shot(encode_png(unit.picture), "image/png", unit.unit_id, unit.lot)


class AseSource:
    """Parts under a machine that prints its parameters beside them, JPEG, without end.

    Of its defective parts, 384 of 971, as many are left out as `defect_rate` wants. From part `wear_from` on the
    machine wears: over 40 parts its bond force sinks by four standard deviations.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        from pipeline.ase_line import AseLine

        rate = settings.defect_rate
        if rate is not None and not 0 <= rate <= AseLine.defect_rate:
            raise InputError(f"defect_rate {rate:g}: the ase line has from 0 to {AseLine.defect_rate:.3f}")
        self._line, self._rate, self._wear_from = AseLine(settings.seed), rate, settings.wear_from
        self.description = f"simulated pictures with printed parameters, seed {settings.seed}"

    def __iter__(self) -> Iterator[Shot | RefusedShot]:
        n_sent = 0
        for index in itertools.count():
            wear = 0.0 if self._wear_from is None else _WEAR_SPREADS * (n_sent - self._wear_from + 1) / _WEAR_PARTS
            sample = self._line.sample(index, min(max(wear, 0.0), _WEAR_SPREADS))
            if sample.defective and self._is_left_out(index):
                continue
            n_sent += 1
            yield Shot(sample.jpeg, "image/jpeg", sample.unit_id, sample.lot)

    def _is_left_out(self, index: int) -> bool:
        if self._rate is None:
            return False
        usual = self._line.defect_rate
        kept = self._rate / (1 - self._rate) * (1 - usual) / usual
        return random.Random(f"{self._line.seed} {index}").random() >= kept


SIMULATORS: Mapping[str, Callable[[SimulatorSettings], FrameSource]] = {"ase": AseSource, "plate": PlateSource}
"""Simulated lines by the name `--simulate` takes."""


def simulator(name: str, settings: SimulatorSettings) -> FrameSource:
    """The simulated line called `name`. Raises: InputError naming the ones there are."""
    if name not in SIMULATORS:
        raise InputError(f"there is no simulated line {name!r}: choose one of {', '.join(SIMULATORS)}")
    return SIMULATORS[name](settings)

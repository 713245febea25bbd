"""Real pictures brought into MVTec's layout: train/good, test/good, test/<defect>, ground_truth/<defect>.

Each set is written into a folder given by the caller. Pictures are those of SIGHTLINE_DATA, or of ../shared/data beside
the repository; see the README there for their sources and licences. Splits are fixed: files in order of name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.errors import InputError

_TILE_PX = 256
_TILE_KINDS = ("blowhole", "break", "crack", "fray", "uneven")
_N_TILE_GOOD, _N_DAGM_GOOD, _N_SDD_GOOD = 100, 300, 30
_SDD_SIZE_PX = (208, 512)


def data_root() -> Path:
    """The folder of real pictures. Raises: InputError when there is none."""
    given = os.environ.get("SIGHTLINE_DATA")
    root = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not root.is_dir():
        raise InputError(f"no real pictures at {root}: set SIGHTLINE_DATA to the folder that holds mvtec_screw")
    return root


def lay_out(name: str, target: Path) -> Path:
    """Set `name` in MVTec's layout; a folder below `target`, or the set itself where it is laid out so.

    Raises: InputError when its pictures are missing.
    """
    folder = target / name
    if folder.exists():
        return folder
    source = data_root() / name
    if not source.is_dir():
        raise InputError(f"{source} is missing; put the pictures there or set SIGHTLINE_DATA")
    if name == "mvtec_screw":
        return source
    _LAYOUTS[name](source, folder)
    return folder


def template_pairs(n: int) -> list[tuple[Path, Path, list[tuple[int, int, int, int]]]]:
    """`n` DeepPCB pairs spread over all: (golden template, tested board, boxes x1 y1 x2 y2 of its defects)."""
    tested = sorted((data_root() / "deeppcb").glob("group*/*/*_test.jpg"))
    if not tested:
        raise InputError(f"{data_root() / 'deeppcb'} holds no *_test.jpg")
    chosen = [tested[i] for i in np.linspace(0, len(tested) - 1, n).round().astype(int)]
    return [(path.with_name(path.name.replace("_test", "_temp")), path, _boxes(path)) for path in chosen]


def _boxes(tested: Path) -> list[tuple[int, int, int, int]]:
    labels = tested.parent.parent / f"{tested.parent.name}_not" / tested.name.replace("_test.jpg", ".txt")
    rows = [line.split() for line in labels.read_text().splitlines() if line.strip()]
    return [(int(r[0]), int(r[1]), int(r[2]), int(r[3])) for r in rows]


def _lay_out_tiles(source: Path, target: Path) -> None:
    """Magnetic tiles differ in size: each is resized to a square."""
    good = sorted((source / "free").glob("*.jpg"))
    for i, path in enumerate(good):
        _resize(path, target / ("train" if i < _N_TILE_GOOD else "test") / "good", cv2.INTER_AREA)
    for kind in _TILE_KINDS:
        for path in sorted((source / kind).glob("*.jpg")):
            _resize(path, target / "test" / kind, cv2.INTER_AREA)
            mask = _resize(path.with_suffix(".png"), target / "ground_truth" / kind, cv2.INTER_NEAREST)
            mask.rename(mask.with_name(f"{path.stem}_mask.png"))


def _lay_out_dagm(source: Path, target: Path) -> None:
    """DAGM class 4 with its ellipses as masks."""
    for i, path in enumerate(sorted((source / "good").glob("*.jpg"))):
        _copy(path, target / ("train" if i < _N_DAGM_GOOD else "test") / "good")
    for path in sorted((source / "defect").glob("*.jpg")):
        _copy(path, target / "test" / "defect")
        labels = list((source / "label").glob(f"{path.stem}*"))
        if len(labels) != 1:
            raise InputError(f"{path} has {len(labels)} labels")
        mask = cv2.imread(str(labels[0]), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise InputError(f"{labels[0]} is not a picture")
        folder = target / "ground_truth" / "defect"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{path.stem}_mask.png"), np.where(mask > 127, np.uint8(255), np.uint8(0)))


def _lay_out_boards(source: Path, target: Path) -> None:
    """Circuit boards: no masks."""
    for path in sorted((source / "train" / "normal").glob("*.jpg")):
        _copy(path, target / "train" / "good")
    for kind, folder in (("normal", "good"), ("anomaly", "anomaly")):
        for path in sorted((source / "test" / kind).glob("*.jpg")):
            _copy(path, target / "test" / folder)
    for path in sorted((source / "train" / "anomaly").glob("*.jpg")):
        _copy(path, target / "test" / "anomaly")


def _lay_out_commutators(source: Path, target: Path) -> None:
    """KolektorSDD: commutators of unequal height, each resized to one size; polygons become masks."""
    for i, path in enumerate(sorted((source / "good").glob("*.jpg"))):
        _resize(path, target / ("train" if i < _N_SDD_GOOD else "test") / "good", cv2.INTER_AREA, _SDD_SIZE_PX)
    width, height = _SDD_SIZE_PX
    folder = target / "ground_truth" / "defect"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((source / "defect").glob("*.jpg")):
        _resize(path, target / "test" / "defect", cv2.INTER_AREA, _SDD_SIZE_PX)
        mask = np.zeros((height, width), np.uint8)
        for line in (source / "polygons" / f"{path.stem}.txt").read_text().splitlines():
            corners = np.array(line.split()[1:], np.float64).reshape(-1, 2) * (width, height)
            cv2.fillPoly(mask, [corners.round().astype(np.int32)], (255,))
        cv2.imwrite(str(folder / f"{path.stem}_mask.png"), mask)


def _copy(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / path.name)


def _resize(path: Path, folder: Path, interpolation: int, size_px: tuple[int, int] = (_TILE_PX, _TILE_PX)) -> Path:
    """Write the picture at `path` as a PNG of `size_px` (width, height) into `folder`; returns where."""
    picture: NDArray[np.uint8] | None = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)  # type: ignore[assignment]
    if picture is None:
        raise InputError(f"{path} is not a picture")
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{path.stem}.png"
    cv2.imwrite(str(out), cv2.resize(picture, size_px, interpolation=interpolation))
    return out


_LAYOUTS: dict[str, Callable[[Path, Path], None]] = {
    "magnetic_tile": _lay_out_tiles,
    "dagm_class4": _lay_out_dagm,
    "circuit_board": _lay_out_boards,
    "kolektor_sdd": _lay_out_commutators,
}
NAMES: Sequence[str] = ("mvtec_screw", *_LAYOUTS)

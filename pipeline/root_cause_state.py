"""The saved form of a root-cause state: one compact record, and the window's slots apart."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.baseline import Baseline
from pipeline.order import Order, Seen
from pipeline.pose_drift import PoseDrift
from pipeline.process_drift import ProcessDrift
from pipeline.rolling_median import Picture, RollingMedian, Slot
from pipeline.root_cause import BASELINE_SLOT, RootCause
from pipeline.run import Run
from schemas.alert import AlertState, Cause
from schemas.aligned import AlignedHeader
from schemas.errors import SetupError

MAGIC = b"SLRC"
VERSION = 3
_HEAD = struct.Struct("<4sHI")
_COUNT = struct.Struct("<I")
_UNREADABLE = (struct.error, zlib.error, ValueError, KeyError, TypeError, IndexError)
_REMEDY = "delete the station's rows of sightline.window_state and window_slot; the window fills anew"


def dump_root_cause(state: RootCause) -> bytes:
    """`state` without its window's pixels and its baseline. The same state always gives the same bytes."""
    scene = state.scene
    head = json.dumps(
        {
            "header": state.header.model_dump(mode="json"),
            "grid_shape": scene.grid_shape,
            "picture_shape": scene.window.shape,
            "picture_dtype": scene.window.dtype.str,
            "next_slot": scene.window.next_slot,
            "n_slots": scene.window.n_frames,
            "learned_here": state.learned_here,
            "epochs": list(scene.order.epochs.items()),
            "recent": [[seen.frame_id, seen.number, seen.epoch] for seen in scene.order.recent],
            "n_frames": scene.order.n_frames,
            "n_lost": scene.order.n_lost,
            "seen": int(scene.alarm.seen),
            "issued": state.investigation.issued,
            "runs": [asdict(run) for run in state.investigation.runs],
            "drift": state.drift.to_bytes().decode(),
            "process": None if state.process is None else state.process.to_bytes().decode(),
        },
        separators=(",", ":"),
    ).encode()
    sparse = b"".join(_sparse(array) for array in scene.alarm.arrays().values())
    return _HEAD.pack(MAGIC, VERSION, len(head)) + zlib.compress(head + sparse, 1)


def saved_bundle(content: bytes) -> str:
    """The sha256 of the bundle whose references the state saved as `content` goes with. Raises: SetupError."""
    return str(_read(content)[0]["header"]["bundle_sha256"])


def load_root_cause(
    content: bytes, slots: Mapping[int, bytes], baseline: Baseline | None, template: Picture | None
) -> RootCause:
    """The state saved as `content` and `slots`. Raises: SetupError when they cannot be read or do not match."""
    held, arrays = _read(content)
    try:
        return _build(held, arrays, slots, baseline, template)
    except _UNREADABLE as exc:
        raise SetupError(f"a root-cause state cannot be read ({type(exc).__name__}: {exc}): {_REMEDY}") from exc


def _read(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The record's JSON head and its arrays. Raises: SetupError."""
    try:
        magic, version, n_head = _HEAD.unpack_from(content)
        if magic != MAGIC or version != VERSION:
            raise SetupError(f"a root-cause state of version {version} cannot be read ({VERSION} is): {_REMEDY}")
        raw = zlib.decompress(content[_HEAD.size :])
        held: dict[str, Any] = json.loads(raw[:n_head])
        return held, raw[n_head:]
    except _UNREADABLE as exc:
        raise SetupError(f"a root-cause state cannot be read ({type(exc).__name__}: {exc}): {_REMEDY}") from exc


def _build(
    held: dict[str, Any], arrays: bytes, slots: Mapping[int, bytes], baseline: Baseline | None, template: Picture | None
) -> RootCause:
    shape = (int(held["picture_shape"][0]), int(held["picture_shape"][1]))
    dtype = np.dtype(held["picture_dtype"])
    header = AlignedHeader.model_validate(held["header"])
    window = RollingMedian(shape, dtype, header.window.frames)
    window.restore({s: _slot(slots[s], shape, dtype) for s in range(int(held["n_slots"]))}, int(held["next_slot"]))
    if held["learned_here"]:
        baseline = Baseline.from_bytes(slots[BASELINE_SLOT])
    grid_shape = (int(held["grid_shape"][0]), int(held["grid_shape"][1]))
    state = RootCause(header, grid_shape, window, baseline, template)
    state.learned_here = bool(held["learned_here"])
    recent = [Seen(*entry) for entry in held["recent"]]
    state.scene.order = Order(dict(held["epochs"]), recent, int(held["n_frames"]), int(held["n_lost"]))
    state.scene.alarm.seen = np.uint64(held["seen"])
    state.investigation.issued = list(held["issued"])
    state.investigation.runs = [_run(entry) for entry in held["runs"]]
    state.drift = PoseDrift.from_bytes(held["drift"].encode())
    process = held.get("process")  # states saved before parameters were watched have none
    state.process = None if process is None else ProcessDrift.from_bytes(process.encode())
    at = 0
    for array in state.scene.alarm.arrays().values():
        at = _fill(array, arrays, at)
    return state


def _run(entry: dict[str, Any]) -> Run:
    x, y, w, h = entry["box_px"]
    typed = {"state": AlertState(entry["state"]), "cause": Cause(entry["cause"]), "box_px": (x, y, w, h)}
    return Run(**{**entry, **typed})


def _slot(content: bytes, shape: tuple[int, int], dtype: np.dtype[Any]) -> Slot:
    n_px = shape[0] * shape[1]
    picture = np.frombuffer(content, dtype, n_px).reshape(shape)
    rest = content[picture.nbytes :]
    if not rest:
        return Slot(picture)
    bits = np.unpackbits(np.frombuffer(rest, np.uint8), count=n_px)
    return Slot(picture, bits.reshape(shape).astype(bool))


def _sparse(array: NDArray[Any]) -> bytes:
    """Places and values of what is not zero: charts rest at zero nearly everywhere."""
    flat = array.reshape(-1)
    places = np.flatnonzero(flat)
    little = flat.dtype.newbyteorder("<")
    return _COUNT.pack(places.size) + places.astype("<u4").tobytes() + flat[places].astype(little).tobytes()


def _fill(array: NDArray[Any], content: bytes, at: int) -> int:
    (count,) = _COUNT.unpack_from(content, at)
    at += _COUNT.size
    places = np.frombuffer(content, "<u4", count, at)
    at += places.nbytes
    values = np.frombuffer(content, array.dtype.newbyteorder("<"), count, at)
    array.reshape(-1)[places] = values
    return at + values.nbytes

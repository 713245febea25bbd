"""The saved form of a root-cause state: one compact record, and the window's slots apart."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.gradient_map import Baseline
from pipeline.rolling_median import Picture, RollingMedian, Slot
from pipeline.root_cause import RootCause, Run, Seen
from schemas.alert import AlertState, Cause
from schemas.aligned import AlignedHeader
from schemas.errors import SetupError

MAGIC = b"SLRC"
VERSION = 1
_HEAD = struct.Struct("<4sHI")


def dump_root_cause(state: RootCause) -> bytes:
    """`state` without its window's pixels and its baseline. The same state always gives the same bytes."""
    head = json.dumps(
        {
            "header": state.header.model_dump(mode="json"),
            "grid_shape": state.grid_shape,
            "picture_shape": state.window.shape,
            "picture_dtype": state.window.dtype.str,
            "next_slot": state.window.next_slot,
            "n_slots": state.window.n_frames,
            "n_frames": state.n_frames,
            "n_lost": state.n_lost,
            "last_epoch": state.last_epoch,
            "last_sequence": state.last_sequence,
            "recent": [[seen.frame_id, seen.sequence, seen.number] for seen in state.recent],
            "runs": [asdict(run) for run in state.runs],
        },
        separators=(",", ":"),
    ).encode()
    arrays = b"".join(
        part.astype(kind).tobytes()
        for chart in (state.part, state.sensor)
        for part, kind in ((chart.statistic, "<i4"), (chart.hits, "<u8"))
    )
    return _HEAD.pack(MAGIC, VERSION, len(head)) + head + zlib.compress(arrays, 1)


def load_root_cause(
    content: bytes, slots: Mapping[int, bytes], baseline: Baseline | None, template: Picture | None
) -> RootCause:
    """The state saved as `content` and `slots`.

    Raises: SetupError when the bytes are of another version or the slots do not belong to it.
    """
    magic, version, n_head = _HEAD.unpack_from(content)
    if magic != MAGIC or version != VERSION:
        raise SetupError(
            f"a root-cause state of version {version} cannot be read (version {VERSION} is expected): delete the"
            " station's row of sightline.window_state; the window fills anew"
        )
    held: dict[str, Any] = json.loads(content[_HEAD.size : _HEAD.size + n_head])
    shape = (int(held["picture_shape"][0]), int(held["picture_shape"][1]))
    dtype = np.dtype(held["picture_dtype"])
    header = AlignedHeader.model_validate(held["header"])
    window = RollingMedian(shape, dtype, header.window.frames)
    wanted = range(int(held["n_slots"]))
    absent = [slot for slot in wanted if slot not in slots]
    if absent:
        raise SetupError(f"window slots {absent} of {header.station} / {header.product} are missing")
    window.restore({s: Slot(np.frombuffer(slots[s], dtype).reshape(shape)) for s in wanted}, int(held["next_slot"]))
    state = RootCause(header, (int(held["grid_shape"][0]), int(held["grid_shape"][1])), window)
    state.baseline, state.template = baseline, template
    state.n_frames, state.n_lost = int(held["n_frames"]), int(held["n_lost"])
    state.last_epoch, state.last_sequence = held["last_epoch"], held["last_sequence"]
    state.recent = [Seen(*entry) for entry in held["recent"]]
    state.runs = [_run(entry) for entry in held["runs"]]
    raw, at = zlib.decompress(content[_HEAD.size + n_head :]), 0
    for chart in (state.part, state.sensor):
        for name, kind in (("statistic", "<i4"), ("hits", "<u8")):
            like = getattr(chart, name)
            setattr(chart, name, np.frombuffer(raw, kind, like.size, at).reshape(like.shape).astype(like.dtype))
            at += like.size * np.dtype(kind).itemsize
    return state


def _run(entry: dict[str, Any]) -> Run:
    entry["state"], entry["cause"] = AlertState(entry["state"]), Cause(entry["cause"])
    entry["box_px"] = tuple(entry["box_px"])
    return Run(**entry)

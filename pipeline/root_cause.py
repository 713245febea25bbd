"""The root-cause state machine of a station, product and recipe revision: frames in, alert records out.

Pure and deterministic: the same frames give the same alerts and the same bytes, however they are batched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pipeline.alarm import HISTORY_FRAMES, CellAlarm
from pipeline.gradient_map import Baseline, deviation, learn_baseline, regions
from pipeline.mark_picture import draw_mark
from pipeline.rolling_median import Picture, RollingMedian
from schemas.alert import Alert, AlertState, Cause, alert_id
from schemas.aligned import AlignedFrame, AlignedHeader
from schemas.verdict import Box

BACKGROUND = 1e-3
CONFIRM_NOISE = 6.0
CONFIRM_AREA_PX = 6
PERSISTING = 1.5
"""A statistic this many times its threshold confirms without the map (hit rates under one half)."""
EVIDENCE_FRAMES = 16
RULE = "systematic"


@dataclass(slots=True)
class Run:
    """One alert in progress."""

    alert_id: str
    rule: str
    state: AlertState
    cause: Cause
    cells: list[int]
    box_px: Box
    epoch: str | None
    first_sequence: int
    last_sequence: int
    n_frames: int
    n_hits: int
    statistic: float
    clean_frames: int = 0
    gradient_map: str | None = None
    frames: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame of the recent past."""

    frame_id: str
    sequence: int | None
    number: int


class RootCause:
    """See the module. One instance per (station, product, recipe revision)."""

    def __init__(self, header: AlignedHeader, grid_shape: tuple[int, int], window: RollingMedian) -> None:
        self.header = header
        self.station = header.station
        self.product = header.product
        self.recipe_revision = header.recipe_revision
        self.template_sha256 = header.template_sha256
        self.settings = header.window
        self.grid_shape = grid_shape
        self.window = window
        self.n_frames = 0
        self.n_lost = 0
        self.last_epoch: str | None = None
        self.last_sequence: int | None = None
        self.baseline: Baseline | None = None
        self.template: Picture | None = None
        self.runs: list[Run] = []
        self.recent: list[Seen] = []
        self._changed: dict[int, bytes | None] = {}
        n_cells = grid_shape[0] * grid_shape[1]
        self.part = CellAlarm(n_cells, 2 * self.settings.arl0_frames, BACKGROUND)
        self.sensor = CellAlarm(n_cells, 2 * self.settings.arl0_frames, BACKGROUND)

    @classmethod
    def start(cls, frame: AlignedFrame, baseline: Baseline | None, template: Picture | None) -> RootCause:
        """A fresh state for the station, product and recipe of `frame`, which is not yet taken in.

        Args: baseline: of the bundle; None = learnt from the first full window. template: drawn under marks.
        """
        window = RollingMedian(
            (frame.picture.shape[0], frame.picture.shape[1]), frame.picture.dtype, frame.header.window.frames
        )
        grid = frame.score_grid.shape
        state = cls(frame.header, (grid[0], grid[1]), window)
        state.baseline = baseline
        state.template = template
        return state

    def fits(self, frame: AlignedFrame) -> bool:
        """Whether `frame` continues this state; a new recipe, template or size starts a new one."""
        header = frame.header
        return (
            (header.station, header.product) == (self.station, self.product)
            and (header.recipe_revision, header.template_sha256) == (self.recipe_revision, self.template_sha256)
            and header.window == self.settings
            and frame.picture.shape == self.window.shape
            and frame.picture.dtype == self.window.dtype
            and frame.score_grid.shape == self.grid_shape
        )

    def is_new(self, header: AlignedHeader) -> bool:
        """False for a repeat, and for a frame older than the last of its epoch."""
        if header.sequence is None:
            return all(seen.frame_id != header.frame_id for seen in self.recent)
        return header.epoch != self.last_epoch or self.last_sequence is None or header.sequence > self.last_sequence

    def update(self, frame: AlignedFrame, keep_picture: Callable[[bytes], str] | None = None) -> list[Alert]:
        """Take one frame in. Returns: a record for each alert that changed its state.

        Args: keep_picture: stores a PNG and returns its reference; called once for an alert that confirms.
        """
        header = frame.header
        if not self.is_new(header):
            return []
        self._follow(header)
        hit = np.isfinite(frame.score_grid) & (frame.score_grid > header.cell_threshold)
        part_hit = hit.reshape(-1)
        alarms = self.part.update(part_hit)
        sensor_alarms = self.sensor.update(self._on_sensor(part_hit, header))
        self.window.push(frame.picture)
        self._changed[self.window.last_slot] = frame.picture.tobytes()
        for run in self.runs:
            self._extend(run, part_hit)
        changed = self._suspect(alarms, sensor_alarms, part_hit)
        changed += self._confirm(keep_picture)
        changed += self._clear()
        return [self._record(run, header.captured_at) for run in changed]

    def acknowledge(self, alert: str, at: datetime) -> list[Alert]:
        """Note that a person has seen `alert`. Returns: its record, or nothing when it is not open."""
        for run in self.runs:
            if run.alert_id == alert and run.state is not AlertState.ACKNOWLEDGED:
                run.state = AlertState.ACKNOWLEDGED
                return [self._record(run, at)]
        return []

    def retire(self, at: datetime) -> list[Alert]:
        """Close every open alert because a new recipe starts a new window. Returns: their records."""
        closed: list[Alert] = []
        for run in self.runs:
            run.state = AlertState.CLEARED
            text = f"{self.product} at {self.station} has a new recipe: this alert is closed, its window starts again."
            closed.append(self._record(run, at).model_copy(update={"text": text}))
        self.runs = []
        return closed

    def retire(self, at: datetime) -> list[Alert]:
        """Close every open alert, because this recipe revision is no longer in force. Returns: their records."""
        for run in self.runs:
            run.state = AlertState.CLEARED
        records = [self._record(run, at) for run in self.runs]
        self.runs = []
        return records

    def to_bytes(self) -> bytes:
        """The state without its window's pixels and its baseline; the same state always gives the same bytes."""
        from pipeline.root_cause_state import dump_root_cause

        return dump_root_cause(self)

    @classmethod
    def from_bytes(
        cls, content: bytes, slots: Mapping[int, bytes], baseline: Baseline | None, template: Picture | None
    ) -> RootCause:
        """The state saved by `to_bytes` and its window `slots`. Raises: SetupError when they cannot be read."""
        from pipeline.root_cause_state import load_root_cause

        return load_root_cause(content, slots, baseline, template)

    def take_changed_slots(self) -> dict[int, bytes | None]:
        """The window slots that changed since the last call, to be saved with `to_bytes` in one transaction."""
        changed, self._changed = self._changed, {}
        return changed

    @property
    def window_hash(self) -> str:
        """sha256 (hex) of the window's frames, oldest first."""
        digest = hashlib.sha256()
        for slot in self.window.slots():
            digest.update(self.window.slot(slot).picture.tobytes())
        return digest.hexdigest()

    def _follow(self, header: AlignedHeader) -> None:
        if header.sequence is not None:
            if header.epoch == self.last_epoch and self.last_sequence is not None:
                self.n_lost += header.sequence - self.last_sequence - 1
            self.last_epoch, self.last_sequence = header.epoch, header.sequence
        self.recent.append(Seen(header.frame_id, header.sequence, self.n_frames))
        del self.recent[:-HISTORY_FRAMES]
        self.n_frames += 1

    def _on_sensor(self, part_hit: NDArray[np.bool_], header: AlignedHeader) -> NDArray[np.bool_]:
        """The hits (n_cells,) carried from template to sensor coordinates, on a grid of the same shape."""
        out = np.zeros_like(part_hit)
        cells = np.flatnonzero(part_hit)
        if cells.size:
            rows, columns = self.grid_shape
            height, width = self.window.shape
            x = (cells % columns + 0.5) * width / columns - 0.5
            y = (cells // columns + 0.5) * height / rows - 0.5
            a, b, c, d, e, f = header.transform
            column = np.floor((a * x + b * y + c + 0.5) * columns / header.frame_size_px[0]).astype(np.int64)
            row = np.floor((d * x + e * y + f + 0.5) * rows / header.frame_size_px[1]).astype(np.int64)
            inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
            out[row[inside] * columns + column[inside]] = True
        return out

    def _near(self, cells: Iterable[int], reach: int) -> set[int]:
        """`cells` and those within `reach` rows and columns of them."""
        rows, columns = self.grid_shape
        return {
            r * columns + c
            for cell in cells
            for r in range(max(cell // columns - reach, 0), min(cell // columns + reach, rows - 1) + 1)
            for c in range(max(cell % columns - reach, 0), min(cell % columns + reach, columns - 1) + 1)
        }

    def _box(self, cells: Iterable[int]) -> Box:
        rows, columns = self.grid_shape
        height, width = self.window.shape
        held = list(cells)
        r = [cell // columns for cell in held]
        c = [cell % columns for cell in held]
        x, y = min(c) * width // columns, min(r) * height // rows
        return x, y, -(-(max(c) + 1) * width // columns) - x, -(-(max(r) + 1) * height // rows) - y

    def _extend(self, run: Run, part_hit: NDArray[np.bool_]) -> None:
        seen = self.recent[-1]
        run.last_sequence = seen.number if seen.sequence is None else seen.sequence
        run.n_frames += 1
        run.statistic = float(self.part.relative()[run.cells].max())
        if part_hit[run.cells].any():
            run.n_hits += 1
            run.clean_frames = 0
            run.frames = [*run.frames, seen.frame_id][-EVIDENCE_FRAMES:]
        else:
            run.clean_frames += 1

    def _suspect(
        self, alarms: NDArray[np.bool_], sensor_alarms: NDArray[np.bool_], part_hit: NDArray[np.bool_]
    ) -> list[Run]:
        """Open an alert for every cluster of alarming cells that belongs to none."""
        left = set(np.flatnonzero(alarms).tolist())
        for run in self.runs:
            joined = left & self._near(run.cells, 2)
            if joined - set(run.cells):
                run.cells = sorted(set(run.cells) | joined)
                run.box_px = self._box(run.cells)
            left -= joined
        opened: list[Run] = []
        while left:
            cluster = {min(left)}
            while grown := (self._near(cluster, 2) & left) - cluster:
                cluster |= grown
            left -= cluster
            opened.append(self._open(sorted(cluster)))
        self.runs += opened
        return opened

    def _open(self, cells: list[int]) -> Run:
        history = int(np.bitwise_or.reduce(self.part.hits[cells]))
        ages = [age for age in range(min(len(self.recent), HISTORY_FRAMES)) if history >> age & 1]
        first, last = self.recent[-1 - ages[-1]], self.recent[-1]
        first_sequence = first.number if first.sequence is None else first.sequence
        rule, taken = RULE, {run.alert_id for run in self.runs}
        identity = alert_id(self.station, self.product, rule, self.last_epoch, first_sequence)
        while identity in taken:
            rule = f"{RULE}.{len(taken) + 1}"
            identity = alert_id(self.station, self.product, rule, self.last_epoch, first_sequence)
        return Run(
            alert_id=identity,
            rule=rule,
            state=AlertState.SUSPECTED,
            cause=Cause.PRODUCT,
            cells=cells,
            box_px=self._box(cells),
            epoch=self.last_epoch,
            first_sequence=first_sequence,
            last_sequence=last.number if last.sequence is None else last.sequence,
            n_frames=ages[-1] + 1,
            n_hits=len(ages),
            statistic=float(self.part.relative()[cells].max()),
            frames=[self.recent[-1 - age].frame_id for age in reversed(ages)][-EVIDENCE_FRAMES:],
        )

    def _confirm(self, keep_picture: Callable[[bytes], str] | None) -> list[Run]:
        waiting = [run for run in self.runs if run.gradient_map is None and run.clean_frames == 0]
        if self.baseline is None and self.window.n_frames == self.settings.frames and not self.runs:
            self.baseline = learn_baseline([self.window.slot(slot).picture for slot in self.window.slots()])
        if not waiting or self.baseline is None:
            return []
        strength = deviation(self.window.twice_median(), self.window.n_frames, self.baseline)
        confirmed: list[Run] = []
        for run in waiting:
            near = np.zeros(self.window.shape, bool)
            x, y, w, h = self._box(self._near(run.cells, 1))
            near[y : y + h, x : x + w] = True
            found = regions(near & (strength >= CONFIRM_NOISE), strength, CONFIRM_AREA_PX)
            if not found and (run.statistic < PERSISTING or run.n_frames < self.settings.frames):
                continue
            if found:
                boxes = np.array([region.box_px for region in found])
                x, y = int(boxes[:, 0].min()), int(boxes[:, 1].min())
                far = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
                run.box_px = (x, y, int(far[0]) - x, int(far[1]) - y)
            if keep_picture is not None and found:
                ground = self.template if self.template is not None else self.window.slot(self.window.last_slot).picture
                caption = f"{self.product}  since {run.first_sequence}  {run.n_hits} of {run.n_frames} parts"
                run.gradient_map = keep_picture(draw_mark(ground, strength, CONFIRM_NOISE, [run.box_px], caption))
            if run.state is AlertState.SUSPECTED:
                run.state = AlertState.CONFIRMED
                confirmed.append(run)
        return confirmed

    def _clear(self) -> list[Run]:
        gone = [run for run in self.runs if run.clean_frames >= self.settings.clear_after_frames]
        for run in gone:
            run.state = AlertState.CLEARED
            self.part.statistic[:, run.cells] = 0
            self.part.hits[run.cells] = 0
        self.runs = [run for run in self.runs if run not in gone]
        return gone

    def _record(self, run: Run, at: datetime) -> Alert:
        rate = run.n_hits / run.n_frames
        x, y, w, h = run.box_px
        what = {
            AlertState.SUSPECTED: "may be marked",
            AlertState.CONFIRMED: "are marked",
            AlertState.ACKNOWLEDGED: "are marked (acknowledged)",
            AlertState.CLEARED: "were marked; the mark is gone",
        }[run.state]
        return Alert(
            alert_id=run.alert_id,
            state=run.state,
            rule=run.rule,
            cause=run.cause,
            station=self.station,
            product=self.product,
            region_px=run.box_px,
            epoch=run.epoch,
            first_sequence=run.first_sequence,
            last_sequence=run.last_sequence,
            n_frames=run.n_frames,
            hit_rate=rate,
            statistic=run.statistic,
            threshold=1.0,
            arl0_frames=self.settings.arl0_frames,
            frames=tuple(run.frames),
            gradient_map=run.gradient_map,
            text=(
                f"{self.product} parts at {self.station} {what} at the same place (x {x}, y {y}, {w} x {h} px of the"
                f" template): {run.n_hits} of {run.n_frames} since part {run.first_sequence};"
                " look at what touches the part there."
            ),
            at=at,
        )

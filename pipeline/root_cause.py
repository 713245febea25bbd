"""The root-cause state machine of a station, product and recipe revision: frames in, alert records out.

Pure and deterministic: the same frames give the same alerts and the same bytes, however they are batched. Time
comes from the frames alone. How a caller uses it::

    state = RootCause.start(frame, baseline, template)        # or RootCause.from_bytes(...)
    if not state.fits(frame): ...                             # new recipe: retire(at), then start
    alerts = state.update(frame, keep_picture)
    # one transaction: state.to_bytes(), state.take_changed_slots(), alerts
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime

import numpy as np

from pipeline.alarm import MapAlarm
from pipeline.baseline import MIN_BASELINE_FRAMES, Baseline, learn_baseline
from pipeline.drift import Drift
from pipeline.gradient_map import Strength, deviation
from pipeline.investigation import Investigation
from pipeline.mark_picture import draw_run
from pipeline.mark_shape import Shape
from pipeline.order import Order
from pipeline.pose_drift import PoseDrift
from pipeline.process_drift import ProcessDrift
from pipeline.process_signals import Usual
from pipeline.rolling_median import MAX_WINDOW_FRAMES, Picture, RollingMedian, Slot
from pipeline.run import Run
from pipeline.scene import Scene, Sight
from pipeline.sensor_view import sensor_cells, valid_pixels
from schemas.alert import Alert
from schemas.aligned import AlignedFrame, AlignedHeader
from schemas.errors import SetupError

BASELINE_SLOT = MAX_WINDOW_FRAMES
"""The slot that keeps a baseline learnt from the first window; frames use those below."""


class RootCause:
    """See the module. One instance per (station, product, recipe revision)."""

    def __init__(
        self,
        header: AlignedHeader,
        grid_shape: tuple[int, int],
        window: RollingMedian,
        baseline: Baseline | None,
        template: Picture | None,
    ) -> None:
        """Use `start` or `from_bytes`. Raises: SetupError when baseline and frames differ in size."""
        if baseline is not None and baseline.median.shape[1:] != window.shape:
            raise SetupError(
                f"the golden baseline of {header.product} is for {baseline.median.shape[1:]} px, its aligned frames"
                f" have {window.shape}: learn it again with `sightline baseline`"
            )
        background = None if baseline is None else baseline.background
        if background is not None and background.shape != grid_shape:
            raise SetupError(
                f"the golden baseline of {header.product} counts hits on a grid of {background.shape}, its score grid"
                f" has {grid_shape}: learn it again with `sightline baseline`"
            )
        rates = None if background is None else background.astype(np.float64)
        alarm = MapAlarm(grid_shape, header.window.arl0_frames, rates)
        self.header = header
        self.template = template
        self.learned_here = False
        self.scene = Scene(header.window, grid_shape, window, alarm, Order(), baseline)
        self.investigation = Investigation(self.scene)
        self.drift = PoseDrift(header, (window.shape[1], window.shape[0]))
        self.process: ProcessDrift | None = None
        self._changed: dict[int, bytes | None] = {}

    @classmethod
    def start(
        cls, frame: AlignedFrame, baseline: Baseline | None, template: Picture | None, usual: Usual | None = None
    ) -> RootCause:
        """A fresh state for the station, product and recipe of `frame`, which is not yet taken in.

        Args: baseline: of the bundle; None = learnt from the first full window, in which a defect that is already
            there hides. template: (H, W), drawn under marks; None = the last frame. usual: what the bundle says of
            machine parameters on good parts; without any their drift is not watched.
        """
        picture, grid, header = frame.picture, frame.score_grid, frame.header
        window = RollingMedian((picture.shape[0], picture.shape[1]), picture.dtype, header.window.frames)
        state = cls(header, (grid.shape[0], grid.shape[1]), window, baseline, template)
        if usual:
            state.process = ProcessDrift(header, usual, (0, 0, picture.shape[1], picture.shape[0]))
        state._changed = dict.fromkeys(range(BASELINE_SLOT + 1))
        return state

    def fits(self, frame: AlignedFrame) -> bool:
        """Whether `frame` continues this state; a new recipe, template or size starts a new one."""
        mine, its = self.header, frame.header
        return (
            (its.station, its.product) == (mine.station, mine.product)
            and (its.recipe_revision, its.template_sha256) == (mine.recipe_revision, mine.template_sha256)
            and its.window == mine.window
            and frame.picture.shape == self.window.shape
            and frame.picture.dtype == self.window.dtype
            and frame.score_grid.shape == self.scene.grid_shape
        )

    @property
    def window(self) -> RollingMedian:
        """The last frames and their exact median."""
        return self.scene.window

    @property
    def n_lost(self) -> int:
        """Frames that never came: gaps in the sequence."""
        return self.scene.order.n_lost

    @property
    def last_epoch(self) -> str | None:
        """Epoch of the last frame that had a sequence."""
        return self.scene.order.last_epoch

    @property
    def last_sequence(self) -> int | None:
        """Sequence of the last frame that had one."""
        return self.scene.order.last_sequence

    @property
    def open_alerts(self) -> list[str]:
        """The alert_ids that are not cleared."""
        drifting = [run.alert_id for drift in self._drifts() for run in drift.runs]
        return [run.alert_id for run in self.investigation.runs] + drifting

    def update(self, frame: AlignedFrame, keep_picture: Callable[[bytes], str] | None = None) -> list[Alert]:
        """Take one frame in. Returns: a record for each alert that changed its state.

        A frame older than, or equal to, the last of its epoch changes nothing (see `pipeline.order`).
        Args: keep_picture: stores a PNG and returns its reference; called when a confirmed mark is drawn.
        """
        header, scene = frame.header, self.scene
        if not scene.order.is_new(header):
            return []
        elapsed = scene.order.follow(header)
        hit = (frame.score_grid > np.float32(header.cell_threshold)).reshape(-1) & scene.alarm.watched
        cells = np.flatnonzero(hit)
        on_sensor = sensor_cells(cells, header, scene.grid_shape, self.window.shape)
        alarmed = scene.alarm.update(hit, on_sensor, elapsed)
        valid = valid_pixels(header, self.window.shape)
        self.window.push(frame.picture, valid)
        self._changed[self.window.last_slot] = slot_bytes(Slot(frame.picture, valid))
        sight = Sight(header, cells, on_sensor, self._strength())

        def draw(run: Run, shape: Shape) -> str | None:
            if keep_picture is None:
                return None
            ground = frame.picture if self.template is None else self.template
            return keep_picture(draw_run(ground, run, shape, header))

        alerts = self.investigation.take(sight, alarmed, draw) + self.drift.update(header, marked=bool(cells.size))
        return alerts if self.process is None else alerts + self.process.update(header)

    def _strength(self) -> Strength | None:
        """The map of this window, once there is a baseline, which the first full window becomes if none was given."""
        scene, window = self.scene, self.window
        if scene.baseline is None:
            first = window.n_frames == window.n_window_frames and window.next_slot == 0
            if not first or self.investigation.runs or window.n_frames < MIN_BASELINE_FRAMES:
                return None
            scene.baseline = learn_baseline([window.slot(slot).picture for slot in window.slots()])
            self.learned_here = True
            self._changed[BASELINE_SLOT] = scene.baseline.to_bytes()
        if window.n_frames < min(MIN_BASELINE_FRAMES, window.n_window_frames):
            return None
        return deviation(window, scene.baseline)

    def acknowledge(self, alert: str, at: datetime) -> list[Alert]:
        """Note that a person has seen `alert`. Returns: its record, or nothing when it is not open."""
        known = self.investigation.acknowledge(alert, self.header, at)
        return known + [each for drift in self._drifts() for each in drift.acknowledge(alert, self._latest(), at)]

    def retire(self, at: datetime) -> list[Alert]:
        """Close every open alert, because this recipe revision is no longer in force. Returns: their records."""
        closed = self.investigation.retire(self.header, at)
        return closed + [each for drift in self._drifts() for each in drift.retire(self._latest(), at)]

    def _drifts(self) -> list[Drift]:
        return [self.drift] if self.process is None else [self.drift, self.process]

    def _latest(self) -> AlignedHeader:
        return self.header.model_copy(update={"sequence": self.last_sequence, "epoch": self.last_epoch})

    def take_changed_slots(self) -> dict[int, bytes | None]:
        """What changed of the window since the last call, by slot (None = gone), to be saved with `to_bytes`.

        Slot 255 is the baseline, when it had to be learnt from the first window.
        """
        changed, self._changed = self._changed, {}
        return changed

    @property
    def window_hash(self) -> str:
        """sha256 (hex) of the window's frames and masks, oldest first."""
        digest = hashlib.sha256()
        for slot in self.window.slots():
            digest.update(slot_bytes(self.window.slot(slot)))
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """The state without its window's pixels and its baseline; the same state always gives the same bytes."""
        from pipeline.root_cause_state import dump_root_cause

        return dump_root_cause(self)

    @classmethod
    def from_bytes(
        cls, content: bytes, slots: Mapping[int, bytes], baseline: Baseline | None, template: Picture | None
    ) -> RootCause:
        """The state saved by `to_bytes` and its window `slots`.

        Args: baseline, template: of the bundle, as given to `start`.
        Raises: SetupError when they cannot be read: start afresh.
        """
        from pipeline.root_cause_state import load_root_cause

        return load_root_cause(content, slots, baseline, template)


def slot_bytes(slot: Slot) -> bytes:
    """What is saved of a frame: raw pixels, then one bit a pixel when some do not count."""
    pixels = np.ascontiguousarray(slot.picture).tobytes()
    return pixels if slot.valid is None else pixels + np.packbits(slot.valid).tobytes()

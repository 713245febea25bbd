"""Alerts in progress: opened on suspicion, confirmed by the map, acknowledged by a person, cleared when gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from pipeline.alarm import Alarmed
from pipeline.alert_text import sentence
from pipeline.gradient_map import MARK_AREA_PX, MARK_NOISE, marks
from pipeline.mark_shape import Shape, find_shape, grown
from pipeline.past import past_of
from pipeline.run import RULE_MAP, Run
from pipeline.scene import Scene, Sight
from pipeline.suspicion import WHOLE_PART, blame, suspect_cells, suspect_marks
from schemas.alert import Alert, AlertState, Cause, alert_id
from schemas.aligned import AlignedHeader

PERSISTING = 1.5
"""Where the map shows nothing, a statistic this many times its threshold confirms after one window."""
STEADY = 0.9
"""Share of the frames since it was suspected in which a mark of the map must still be there to confirm."""
KEPT_IDENTITIES = 64
Draw = Callable[[Run, Shape], str | None]


@dataclass(slots=True)
class Investigation:
    """The open runs of one station, product and recipe, and the alert_ids lately given."""

    scene: Scene
    runs: list[Run] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)

    def take(self, sight: Sight, alarmed: Alarmed | None, draw: Draw) -> list[Alert]:
        """Follow one frame. Returns: a record for each run that changed its state; a run changes once a frame.

        Args: draw: keeps the picture of a confirmed mark and returns its reference.
        """
        for run in self.runs:
            self._count(run, sight)
        changed = [run for run in self.runs if self._confirms(run, sight, draw)]
        opened = [] if alarmed is None else suspect_cells(self.scene, sight, alarmed, self.runs)
        if sight.strength is not None and self.scene.baseline is not None:
            opened += suspect_marks(self.scene, self.scene.baseline, sight.strength, self.runs + opened)
        for run in opened:
            self._name(run, sight.header)
        over = [run for run in self.runs if run not in changed and self._is_over(run, sight)]
        for run in over:
            run.state = AlertState.CLEARED
            self.scene.alarm.forget(np.array(run.cells, np.int64), np.array(run.sensor_cells, np.int64))
        self.runs = [run for run in self.runs if run not in over] + opened
        return [self._record(run, sight.header, sight.header.captured_at) for run in changed + opened + over]

    def acknowledge(self, alert: str, header: AlignedHeader, at: datetime) -> list[Alert]:
        """Note that a person has seen `alert`. Returns: its record, nothing when it is not open or noted already."""
        found = [run for run in self.runs if run.alert_id == alert and run.state is not AlertState.ACKNOWLEDGED]
        for run in found:
            run.state = AlertState.ACKNOWLEDGED
        return [self._record(run, header, at) for run in found]

    def retire(self, header: AlignedHeader, at: datetime) -> list[Alert]:
        """Close every run because the recipe is no longer in force. Returns: their records."""
        closed, self.runs = self.runs, []
        for run in closed:
            run.state = AlertState.CLEARED
        return [self._record(run, header, at, retired=True) for run in closed]

    def _count(self, run: Run, sight: Sight) -> None:
        seen = self.scene.order.recent[-1]
        run.take(self._shows(run, sight), seen.frame_id, seen.number, self.scene.settings.clear_after_frames)
        if not run.rule.startswith(RULE_MAP):
            run.statistic, run.threshold = self.scene.stand(run)

    def _shows(self, run: Run, sight: Sight) -> bool:
        """Whether this frame shows the run's mark."""
        if run.rule.startswith(RULE_MAP):
            return self._on_map(run, sight)
        if run.cause is Cause.PROCESS:
            return sight.cells.size > WHOLE_PART / 2 * self.scene.alarm.hits.size
        if run.cause is Cause.SENSOR:
            on = sight.on_sensor[sight.on_sensor >= 0]
            return bool(self.scene.near(run.sensor_cells, 1)[on].any())
        return bool(self.scene.near(run.cells, 1)[sight.cells].any())

    def _on_map(self, run: Run, sight: Sight) -> bool:
        if sight.strength is None:
            return False
        box = grown(run.box_px, (2, 2), self.scene.window.shape)
        return bool(marks(sight.strength, MARK_NOISE, MARK_AREA_PX, box))

    def _confirms(self, run: Run, sight: Sight, draw: Draw) -> bool:
        """Bring what is known of the run's shape up to date; whether that confirms it now."""
        if not run.shape_seen and run.clean & 1:
            self._look_for_shape(run, sight, draw)
        if run.state is not AlertState.SUSPECTED:
            return False
        window = self.scene.settings.frames
        if run.rule.startswith(RULE_MAP):
            counted = min(run.n_since_open, self.scene.settings.clear_after_frames)
            confirmed = run.n_since_open >= window // 2 and run.clean.bit_count() > counted * STEADY
        else:
            persists = run.statistic >= PERSISTING * run.threshold and run.n_since_open >= window
            confirmed = run.shape_seen or persists
        if confirmed:
            run.state = AlertState.CONFIRMED
        return confirmed

    def _look_for_shape(self, run: Run, sight: Sight, draw: Draw) -> None:
        scene = self.scene
        if sight.strength is None or scene.baseline is None or run.cause in (Cause.SENSOR, Cause.PROCESS):
            return
        cells = np.array(run.cells, np.int64)
        if run.state is AlertState.SUSPECTED and not run.rule.startswith(RULE_MAP):
            lens = sight.on_sensor[np.isin(sight.cells, cells) & (sight.on_sensor >= 0)]
            run.cause = blame(scene, cells, lens)
        past = past_of(scene.alarm, cells, on_sensor=False)
        slots = scene.window.slots()
        ages = [past.back(at) for at in past.hits(63)]
        hit_slots = [slots[-1 - back] for back in ages if back < len(slots)]
        box = grown(run.box_px, scene.margin_px(), scene.window.shape)
        shape = find_shape(scene.window, scene.baseline, sight.strength, box, hit_slots)
        if shape is None or (run.rule.startswith(RULE_MAP) and run.n_since_open < scene.settings.frames // 2):
            return
        run.shape_seen, run.box_px = True, shape.box_px
        run.gradient_map = draw(run, shape)

    def _is_over(self, run: Run, sight: Sight) -> bool:
        """Whether the mark is gone: from the frames for the stated run, and from the map."""
        scene, clear_after = self.scene, self.scene.settings.clear_after_frames
        if run.shape_seen and self._on_map(run, sight):
            return False
        background = 0.0
        if run.cause in (Cause.PRODUCT, Cause.SENSOR) and not run.rule.startswith(RULE_MAP):
            on_sensor = run.cause is Cause.SENSOR
            around = np.flatnonzero(scene.near(run.sensor_cells if on_sensor else run.cells, 1))
            background = past_of(scene.alarm, around, on_sensor).probability
        return run.is_over(clear_after, background)

    def _name(self, run: Run, header: AlignedHeader) -> None:
        """Give `run` its alert_id; a second mark that began with the same frame gets a numbered rule."""
        base, number = run.rule, 1
        run.alert_id = alert_id(header.station, header.product, run.rule, run.epoch, run.first_sequence)
        while run.alert_id in self.issued:
            number += 1
            run.rule = f"{base}.{number}"
            run.alert_id = alert_id(header.station, header.product, run.rule, run.epoch, run.first_sequence)
        self.issued = [*self.issued, run.alert_id][-KEPT_IDENTITIES:]

    def _record(self, run: Run, header: AlignedHeader, at: datetime, retired: bool = False) -> Alert:
        settings = self.scene.settings
        return Alert(
            alert_id=run.alert_id,
            state=run.state,
            rule=run.rule,
            cause=run.cause,
            station=header.station,
            product=header.product,
            region_px=run.box_px,
            epoch=run.epoch,
            first_sequence=run.first_sequence,
            last_sequence=run.last_sequence,
            n_frames=run.n_frames,
            hit_rate=run.hit_rate,
            period=run.period,
            statistic=run.statistic,
            threshold=run.threshold,
            arl0_frames=settings.arl0_frames,
            frames=tuple(run.frames),
            gradient_map=run.gradient_map,
            text=sentence(run, header.station, header.product, settings.clear_after_frames, retired),
            at=at,
        )

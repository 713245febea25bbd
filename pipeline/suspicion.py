"""Opening a run: by the alarm on the score grid's hits, or by the median-gradient map alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.alarm import Alarmed
from pipeline.baseline import Baseline
from pipeline.gradient_map import ALONE_AREA_PX, ALONE_NOISE, Mark, Strength, marks, presence
from pipeline.mark_shape import grown, overlap
from pipeline.order import Order
from pipeline.past import date, past_of
from pipeline.places import clusters
from pipeline.run import EVIDENCE_FRAMES, RULE_CELLS, RULE_MAP, Run
from pipeline.scene import Scene, Sight
from schemas.alert import AlertState, Cause
from schemas.verdict import Box

WHOLE_PART = 0.2
"""Share of the cells from which the whole part is said to have changed."""
SENSOR_LEAD = 1.25
"""How much higher the sensor's statistic must stand than the part's to blame lens or lamp."""
JOIN_CELLS = 2
Cells = NDArray[np.int64]
_NONE = np.zeros(0, np.int64)


def suspect_cells(scene: Scene, sight: Sight, alarmed: Alarmed, runs: list[Run]) -> list[Run]:
    """A run for every cluster of alarming cells that belongs to none of `runs`, which may grow by some of them."""
    sensor_of = dict(zip(sight.cells.tolist(), sight.on_sensor.tolist(), strict=True))
    left = dict(zip(alarmed.cells.tolist(), alarmed.on_part.tolist(), strict=True))
    for run in runs:
        _join(scene, run, left, sensor_of)
    fresh = np.array(sorted(left), np.int64)
    if fresh.size > WHOLE_PART * scene.alarm.hits.size:
        return [_open_on_cells(scene, fresh, sensor_of)]
    return [_open_on_cells(scene, group, sensor_of) for group in clusters(fresh, JOIN_CELLS, scene.grid_shape)]


def _join(scene: Scene, run: Run, left: dict[int, bool], sensor_of: dict[int, int]) -> None:
    """Take out of `left` (cell -> whether the part's own charts alarm) what belongs to `run`."""
    part, lens = scene.near(run.cells, JOIN_CELLS), scene.near(run.sensor_cells, 1)
    if run.shape_seen:  # a score spreads around its mark: a cell beside the drawn shape tells of the same mark
        part |= scene.near(scene.cells_of(run.box_px).tolist(), JOIN_CELLS)
    whole = run.cause is Cause.PROCESS
    for cell, on_part in list(left.items()):
        at = sensor_of[cell]
        if not (whole or part[cell] or (at >= 0 and lens[at])):
            continue
        del left[cell]
        if on_part and part[cell] and run.cause is Cause.PRODUCT and cell not in run.cells:
            run.cells = sorted([*run.cells, cell])
            if not run.shape_seen:
                run.box_px = scene.box_of(np.array(run.cells, np.int64))


def _open_on_cells(scene: Scene, cells: Cells, sensor_of: dict[int, int]) -> Run:
    lens = np.array(sorted({sensor_of[cell] for cell in cells.tolist()} - {-1}), np.int64)
    whole = cells.size > WHOLE_PART * scene.alarm.hits.size
    cause = Cause.PROCESS if whole else blame(scene, cells, lens)
    run = _blank(RULE_CELLS, cause, cells, lens, scene.box_of(cells), scene.order)
    on_sensor = cause is Cause.SENSOR
    date(run, past_of(scene.alarm, lens if on_sensor else cells, on_sensor), scene.order)
    run.statistic, run.threshold = scene.stand(run)
    return run


def blame(scene: Scene, cells: Cells, lens: Cells) -> Cause:
    """Product or sensor: where the same hits pile up higher.

    The sensor is blamed when its own chart alarms and leads; a tie, when the pose hardly varies, is the product.
    """
    if lens.size == 0:
        return Cause.PRODUCT
    part, sensor = scene.stand_on_part(cells), scene.stand_on_sensor(lens)
    leads = sensor[0] >= sensor[1] and sensor[0] / sensor[1] > SENSOR_LEAD * part[0] / part[1]
    return Cause.SENSOR if leads else Cause.PRODUCT


def suspect_marks(scene: Scene, baseline: Baseline, strength: Strength, runs: list[Run]) -> list[Run]:
    """A run for every mark of the map, of a full window, where none of `runs` is."""
    if scene.window.n_frames < scene.settings.frames:
        return []
    margin = scene.margin_px()
    opened: list[Run] = []
    for mark in marks(strength, ALONE_NOISE, ALONE_AREA_PX):
        known = (grown(run.box_px, margin, scene.window.shape) for run in (*runs, *opened))
        if not any(overlap(mark.box_px, box) for box in known):
            opened.append(_open_on_mark(scene, baseline, mark))
    return opened


def _open_on_mark(scene: Scene, baseline: Baseline, mark: Mark) -> Run:
    shown = presence(scene.window, baseline, mark.box_px)[-len(scene.order.recent) :]
    ids = scene.order.recent[-len(shown) :]
    first = shown.index(True) if any(shown) else len(shown) - 1
    run = _blank(RULE_MAP, Cause.PRODUCT, scene.cells_of(mark.box_px), _NONE, mark.box_px, scene.order)
    run.first_sequence, run.epoch = ids[first].number, ids[first].epoch
    run.n_frames, run.n_hits = len(ids) - first, max(1, sum(shown))
    run.frames = [seen.frame_id for seen, on in zip(ids, shown, strict=True) if on][-EVIDENCE_FRAMES:]
    run.statistic, run.threshold = mark.peak, ALONE_NOISE
    return run


def _blank(rule: str, cause: Cause, cells: Cells, lens: Cells, box: Box, order: Order) -> Run:
    last = order.recent[-1]
    return Run(
        alert_id="",
        rule=rule,
        state=AlertState.SUSPECTED,
        cause=cause,
        cells=cells.tolist(),
        sensor_cells=lens.tolist(),
        box_px=box,
        epoch=last.epoch,
        first_sequence=last.number,
        last_sequence=last.number,
        n_frames=1,
        n_hits=1,
        statistic=0.0,
        threshold=1.0,
    )

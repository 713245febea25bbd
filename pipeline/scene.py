"""What the root-cause logic looks at: the running memory of a station, and one frame's view of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.alarm import MapAlarm
from pipeline.baseline import Baseline
from pipeline.gradient_map import Strength
from pipeline.order import Order
from pipeline.places import near
from pipeline.rolling_median import RollingMedian
from pipeline.run import Run
from pipeline.sensor_view import cell_box
from schemas.alert import Cause
from schemas.aligned import AlignedHeader
from schemas.recipe import WindowSettings
from schemas.verdict import Box

Cells = NDArray[np.int64]


@dataclass(slots=True)
class Scene:
    """Window, charts and order of a station, product and recipe."""

    settings: WindowSettings
    grid_shape: tuple[int, int]
    window: RollingMedian
    alarm: MapAlarm
    order: Order
    baseline: Baseline | None

    def near(self, cells: list[int], reach: int) -> NDArray[np.bool_]:
        """(n_cells,) True for `cells` and those within `reach` of one."""
        return near(cells, reach, self.grid_shape)

    def box_of(self, cells: Cells) -> Box:
        """The template box around `cells`."""
        return cell_box(cells, self.grid_shape, self.window.shape)

    def cells_of(self, box: Box) -> Cells:
        """The cells that a template box touches."""
        (rows, columns), (height, width) = self.grid_shape, self.window.shape
        grid = np.zeros(self.grid_shape, bool)
        x, y, w, h = box
        grid[
            y * rows // height : (y + h - 1) * rows // height + 1,
            x * columns // width : (x + w - 1) * columns // width + 1,
        ] = True
        return np.flatnonzero(grid)

    def margin_px(self) -> tuple[int, int]:
        """(x, y) size of a cell in template pixels: how far from its cells a mark may reach."""
        return -(-self.window.shape[1] // self.grid_shape[1]), -(-self.window.shape[0] // self.grid_shape[0])

    def stand(self, run: Run) -> tuple[float, float]:
        """Statistic and threshold, in nats, of the chart that stands highest over its threshold at the run's place."""
        if run.cause is Cause.SENSOR:
            return self.stand_on_sensor(np.array(run.sensor_cells, np.int64))
        return self.stand_on_part(np.array(run.cells, np.int64))

    def stand_on_part(self, cells: Cells) -> tuple[float, float]:
        """`stand` of cells of the part, or of the windows they are in."""
        both = (self.alarm.cells.strongest(cells), self.alarm.windows.strongest(self.alarm.windows_of(cells)))
        return max(both, key=lambda stand: stand[0] / stand[1])

    def stand_on_sensor(self, lens: Cells) -> tuple[float, float]:
        """`stand` of the windows that cells of the sensor are in."""
        return self.alarm.sensor.strongest(self.alarm.windows_of(lens))


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What one frame shows: the cells it hits, on the part and on the sensor, and the map (H, W) if there is one."""

    header: AlignedHeader
    cells: Cells
    on_sensor: Cells
    strength: Strength | None

"""The recent hits of a place: since when they come, how often, and on which frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.alarm import BACKGROUND, LONGEST_PERIOD, MapAlarm, run_start
from pipeline.order import Order
from pipeline.run import EVIDENCE_FRAMES, Run, period_of

Cells = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Past:
    """The hits of a place in the last 64 frames. `register`: bit 0 is the newest; `seen`: which were observed."""

    register: int
    seen: int
    probability: float
    """That a good part hits the place."""

    def start(self) -> int:
        """Age of the frame with which the run most likely began."""
        return run_start(self.register, self.seen, self.probability)

    def back(self, age: int) -> int:
        """How many observed frames are newer than the one of this `age`."""
        return (self.seen & ((1 << age) - 1)).bit_count()

    def hits(self, age: int) -> list[int]:
        """Ages of the hits from `age` on, oldest first."""
        held = self.register & self.seen
        return [at for at in range(age, -1, -1) if held >> at & 1]


def past_of(alarm: MapAlarm, cells: Cells, on_sensor: bool) -> Past:
    """The hits of any of `cells`, of the part or of the sensor."""
    registers = alarm.sensor_hits if on_sensor else alarm.hits
    register = int(np.bitwise_or.reduce(registers[cells])) if cells.size else 0
    each = np.full(cells.size, BACKGROUND) if on_sensor else alarm.background[cells]
    probability = float(1.0 - np.prod(1.0 - np.minimum(each, 0.5)))
    return Past(register, int(alarm.seen), min(max(probability, BACKGROUND), 0.5))


def date(run: Run, past: Past, order: Order) -> None:
    """Fill in since when, how often, at what period and on which frames `run` was seen before it was suspected."""
    age = past.start()
    hits = past.hits(age)
    first = order.recent[-1 - past.back(age)]
    span = (1 << (age + 1)) - 1
    run.first_sequence, run.epoch = first.number, first.epoch
    run.n_frames, run.n_hits = past.back(age) + 1, len(hits)
    run.period = period_of(past.register & span, past.seen & span, LONGEST_PERIOD)
    run.frames = [order.recent[-1 - past.back(at)].frame_id for at in hits][-EVIDENCE_FRAMES:]

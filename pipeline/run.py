"""A run: one systematic defect in progress, from the first frame that showed it until it is gone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

from schemas.alert import AlertState, Cause
from schemas.verdict import Box

EVIDENCE_FRAMES = 16
RULE_CELLS = "cell_cusum"
"""Raised by the score grid's hits."""
RULE_MAP = "median_gradient"
"""Raised by the median-gradient map alone."""
CLEAN_CONFIDENCE = 0.99


@dataclass(slots=True)
class Run:
    """One alert in progress. `cells`, `sensor_cells`: where it was seen on the part and on the sensor.

    `clean`: one bit a frame, the newest in bit 0, whether the place was hit; as long as the clearing run.
    """

    alert_id: str
    rule: str
    state: AlertState
    cause: Cause
    cells: list[int]
    sensor_cells: list[int]
    box_px: Box
    epoch: str | None
    first_sequence: int
    last_sequence: int
    n_frames: int
    n_hits: int
    statistic: float
    threshold: float
    period: int | None = None
    clean: int = 0
    n_since_open: int = 0
    shape_seen: bool = False
    gradient_map: str | None = None
    frames: list[str] = field(default_factory=list)

    @property
    def hit_rate(self) -> float:
        """Share of the run's frames that show the mark."""
        return self.n_hits / max(self.n_frames, 1)

    def take(self, hit: bool, frame_id: str, sequence: int, clear_after_frames: int) -> None:
        """Count one frame."""
        self.last_sequence = sequence
        self.n_frames += 1
        self.n_since_open += 1
        self.n_hits += hit
        self.clean = (self.clean << 1 | hit) & ((1 << clear_after_frames) - 1)
        if hit:
            self.frames = [*self.frames, frame_id][-EVIDENCE_FRAMES:]

    def is_over(self, clear_after_frames: int, background: float) -> bool:
        """Whether the last `clear_after_frames` frames hit the place no more than good parts do.

        Args: background: probability that a good part hits any cell of the place.
        """
        if self.n_since_open < clear_after_frames:
            return False
        expected = allowed_hits(clear_after_frames, background)
        return self.clean.bit_count() <= min(expected, math.floor(self.hit_rate * clear_after_frames / 4))


@lru_cache(maxsize=4096)
def allowed_hits(n_frames: int, probability: float) -> int:
    """The most hits that good parts leave in `n_frames` frames with 99 % probability (binomial quantile)."""
    below, term = 0.0, (1.0 - probability) ** n_frames
    for hits in range(n_frames + 1):
        below += term
        if below >= CLEAN_CONFIDENCE:
            return hits
        term *= (n_frames - hits) / (hits + 1) * probability / (1.0 - probability)
    return n_frames


def period_of(register: int, seen: int, longest: int) -> int | None:
    """The k for which the hits of a run fall on every k-th frame and on no other, None when there is none.

    Args: register, seen: bits of the run's frames, the newest in bit 0: hit, and observed at all.
    """
    n_hits = (register & seen).bit_count()
    if n_hits < 3:
        return None
    for period in range(longest, 1, -1):
        for phase in range(period):
            comb = sum(1 << at for at in range(phase, max(register.bit_length(), 1), period))
            on = (seen & comb).bit_count()
            on_hits, off_hits = (register & seen & comb).bit_count(), (register & seen & ~comb).bit_count()
            if on >= 3 and on_hits >= 0.8 * on and off_hits <= 0.1 * n_hits:
                return period
    return None

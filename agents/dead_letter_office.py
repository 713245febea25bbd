"""How many dead letters a worker may write before it must stop: a bad deployment must not drain the topic."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from schemas.errors import SetupError


@dataclass(frozen=True, slots=True)
class DeadLetterLimits:
    """Halt after so many in a row, or above this share of the last `window` frames."""

    consecutive: int = 100
    share: float = 0.5
    window: int = 1000


class DeadLetterOffice:
    """Counts outcomes; halts the worker when refusals become the rule."""

    def __init__(self, limits: DeadLetterLimits) -> None:
        self._limits = limits
        self._recent: deque[bool] = deque(maxlen=limits.window)
        self._n_refused = 0
        self._run = 0

    def count(self, refused: bool, latest: str) -> None:
        """Count one frame's outcome. Raises: SetupError when a limit is passed."""
        if len(self._recent) == self._recent.maxlen:
            self._n_refused -= self._recent[0]
        self._recent.append(refused)
        self._n_refused += refused
        self._run = self._run + 1 if refused else 0
        full = len(self._recent) == self._limits.window
        if self._run > self._limits.consecutive or (
            full and self._n_refused > self._limits.share * self._limits.window
        ):
            raise SetupError(
                f"{self._run} dead letters in a row, {self._n_refused} of the last {len(self._recent)} frames: stopped "
                f"before the topic is drained. The latest: {latest}. See `sightline dead-letters list`; mend the cause "
                "or raise dead_letter_limit_consecutive / dead_letter_limit_ratio, then start again"
            )

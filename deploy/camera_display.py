"""What `sightline camera` shows on stderr: one live line in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from agents.camera import CameraReport, Progress

_PLAIN_EVERY_S = 10.0
_LIVE_PER_S = 5


class CameraDisplay:
    """Use as a context manager; `show` may be called as often as there are frames.

    Args: console: stderr; station: named in every line; description: of the source.
    """

    def __init__(self, console: Console, station: str, description: str) -> None:
        self._console, self._station = console, station
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._shown_s = 0.0 if self._live is not None else time.monotonic()
        self._rate_from = (time.monotonic(), 0)
        console.print(f"{station}: {description}", highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def notice(self, text: str) -> None:
        """Print a sentence that a person should know."""
        self._console.print(f"{self._station}: {text}", highlight=False, soft_wrap=True, markup=False)

    def show(self, progress: Progress) -> None:
        """Show how far the run is, when it is time to."""
        now_s = time.monotonic()
        if now_s - self._shown_s < (_PLAIN_EVERY_S if self._live is None else 1 / _LIVE_PER_S):
            return
        self._shown_s = now_s
        line = self._line(progress, now_s)
        if self._live is None:
            self.notice(line)
        else:
            style = "red" if progress.delivery.away else "green"
            self._live.update(Text.assemble((f"{self._station} ", "bold"), (line, style)), refresh=True)

    def _line(self, progress: Progress, now_s: float) -> str:
        delivery = progress.delivery
        since_s, n_then = self._rate_from
        rate = (delivery.n_acknowledged - n_then) / max(now_s - since_s, 1e-6)
        if now_s - since_s > 2:
            self._rate_from = (now_s, delivery.n_acknowledged)
        parts = [
            f"sent {progress.n_captured}",
            f"acknowledged {delivery.n_acknowledged}",
            f"spooled {delivery.n_spooled}",
            f"refused {delivery.n_refused + progress.n_refused_shots}",
            f"{rate:.1f} fps",
        ]
        if delivery.away:
            parts.append(f"broker away: {delivery.away}")
        return " · ".join(parts)

    def summarise(self, report: CameraReport) -> None:
        """Print the run's last words."""
        resumed = f" ({report.n_resumed} of them spooled by an earlier run)" if report.n_resumed else ""
        self.notice(
            f"{report.n_captured} frames captured, {report.n_acknowledged} acknowledged{resumed}, "
            f"{report.n_refused} refused, {report.fps:.1f} frames/s"
        )
        if report.n_spooled:
            self.notice(f"{report.n_spooled} frames wait in the spool; the next start of this camera sends them first")
        if report.n_quarantined:
            self.notice(f"{report.n_quarantined} spooled frames were damaged and lie in the spool's quarantine folder")

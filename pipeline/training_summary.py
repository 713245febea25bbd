"""What `sightline train` prints: what was learnt, where the thresholds lie, and what to look at next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipeline.calibration import N_HIGHEST, Choice, review_without_highest, trade_off, trade_off_text, with_refused
from pipeline.fusion_bundling import FusionSummary
from pipeline.training import TrainedModel

WORTH_A_LOOK = 0.9
"""A review threshold that would be lower than this share of itself without a few parts is held up by these."""


class TrainingSummary(BaseModel):
    """What `sightline train` prints."""

    model_config = ConfigDict(frozen=True)

    bundle: str
    sha256: str
    product: str
    size_bytes: int
    n_good: int
    n_refused: int
    scored_share: float = 1.0
    """Of the template, by area."""
    suspects: list[str]
    review: float
    fail: float
    false_calls_per_1000: float
    expected_per_1000: float
    bound_per_1000: float
    n_bad: int
    n_bad_caught: int
    trade_off: list[Choice] = []
    n_synthetic: int
    n_synthetic_caught: int
    synthetic_trade_off: list[Choice] = []
    highest: list[tuple[str, float]] = []
    """Good parts that score highest, suspects aside, with their scores."""
    review_without_highest: float | None = None
    n_synthetic_caught_without_highest: int | None = None
    n_matched: int | None = None
    n_matched_same: int | None = None
    fusion: FusionSummary | None = None

    def text(self) -> str:
        """A few lines for people."""
        lines = [
            f"{self.bundle}  {self.size_bytes / 1e6:.1f} MB  sha256 {self.sha256}",
            f"learnt from {self.n_good} good parts; {self.n_refused} could not be aligned and were left out",
            f"review from {self.review:.3f}, fail from {self.fail:.3f}: of 1000 good parts "
            f"{self.expected_per_1000:.1f} are expected to be stopped, at most {self.bound_per_1000:.1f} "
            f"(target {self.false_calls_per_1000:g}, confidence 95 %)",
        ]
        if self.scored_share < 1:
            lines.append(
                f"{self.scored_share:.0%} of the picture is scored; is all of the part in it? See the scored region in "
                f"{self._report}; --scored all scores the table as well"
            )
        lines.append(f"{self.n_synthetic_caught} of {self.n_synthetic} generated defects on good parts are stopped")
        lines.append(trade_off_text(self.synthetic_trade_off, f"the {self.n_synthetic} generated"))
        lines += self._highest_text()
        if self.n_matched is not None:
            lines.append(
                f"from the matching network's start {self.n_matched_same} of {self.n_matched} good parts end at the "
                "pose the search finds"
            )
        if self.fusion is not None:
            lines.append(self.fusion.text())
        if self.suspects:
            lines.append(f"look at {', '.join(self.suspects[:8])}: they differ from the other good parts")
        if self.n_bad:
            lines.append(f"{self.n_bad_caught} of {self.n_bad} defective parts, which the thresholds know, are stopped")
            lines.append(trade_off_text(self.trade_off, f"these {self.n_bad}"))
        return "\n".join(lines)

    @property
    def _report(self) -> str:
        return Path(self.bundle).with_suffix(".report.png").name

    def _highest_text(self) -> list[str]:
        """Which good parts hold the thresholds up; nothing where none does."""
        lower = self.review_without_highest
        if lower is None or lower > WORTH_A_LOOK * self.review:
            return []
        named = ", ".join(f"{name} ({score:.2f})" for name, score in self.highest)
        return [
            f"highest of the good parts: {named}; without these review would be from {lower:.3f}, and "
            f"{self.n_synthetic_caught_without_highest} of the generated defects stopped: look at them in "
            f"{self._report}; take out those that are defective, no others, and train "
            "again"
        ]


def summarise(
    product: str,
    trained: TrainedModel,
    bad_scores: NDArray[np.float64],
    n_bad: int,
    out: Path,
    sha256: str,
    seed: int,
) -> TrainingSummary:
    """What there is to say of `trained`, written to `out`.

    Args: bad_scores: of the defective parts that could be inspected, of `n_bad` given.
    """
    fit, usual, spoilt = trained.calibration, trained.usual_scores, trained.spoilt_scores
    lower = review_without_highest(usual, fit.target_per_1000, seed, bad_scores)
    return TrainingSummary(
        bundle=str(out),
        sha256=sha256,
        product=product,
        size_bytes=out.stat().st_size,
        n_good=len(trained.used),
        n_refused=len(trained.refused),
        scored_share=1.0 if trained.foreground is None else float(trained.foreground.mean()),
        suspects=list(trained.suspects),
        review=fit.thresholds.review,
        fail=fit.thresholds.fail,
        false_calls_per_1000=fit.target_per_1000,
        expected_per_1000=fit.expected_per_1000,
        bound_per_1000=fit.bound_per_1000,
        n_bad=n_bad,
        n_bad_caught=n_bad - int((bad_scores < fit.thresholds.review).sum()),
        trade_off=trade_off(usual, with_refused(bad_scores, n_bad), seed, bad_scores) if n_bad else [],
        n_synthetic=len(spoilt),
        n_synthetic_caught=trained.n_synthetic_caught,
        synthetic_trade_off=trade_off(usual, spoilt, seed, bad_scores),
        highest=_highest(trained),
        review_without_highest=lower,
        n_synthetic_caught_without_highest=None if lower is None else int((spoilt >= lower).sum()),
        n_matched=None if trained.matcher is None else trained.matcher.n_tried,
        n_matched_same=None if trained.matcher is None else trained.matcher.n_same,
    )


def _highest(trained: TrainedModel) -> list[tuple[str, float]]:
    """The good parts that score highest, suspects aside, highest first."""
    order = np.argsort(-trained.scores, kind="stable").tolist()
    usual = [(trained.used[i], float(trained.scores[i])) for i in order if trained.used[i] not in trained.suspects]
    return usual[:N_HIGHEST]

"""What the accuracy benchmarks train and judge: a set, how its parts may lie, and at what size it is looked at."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.accuracy_data import data_root, lay_out
from engines.bundle import Bundle
from engines.feature_fit import FitSettings
from engines.precision import Precision
from pipeline.bundling import train_bundle
from pipeline.evaluation import Evaluation, evaluate
from pipeline.good_parts import picture_paths
from pipeline.inspection import Inspector
from pipeline.train_settings import GridPx, Localiser, Motion, TrainSettings

_WEIGHTS = "resnet18_conv1_to_layer3_bnfolded.npz"
_CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: picture set, backbone, motion that alignment takes out, longest side in pixels.

    `precision` of the backbone; `power` of the frame's own level (see engines/feature_model.py), 0: judged without it.
    `localiser`: as `train --localiser`; `grid_px`: as `train --grid-px`.
    """

    data: str
    backbone: str = "student"
    motion: Motion = "rigid"
    input_px: int = 256
    precision: Precision = "int8"
    power: float = 0.5
    localiser: Localiser = "distance"
    grid_px: GridPx = 8

    @property
    def name(self) -> str:
        """Unique among rows; what is unusual about it comes last."""
        usual = f"{self.data}/{self.backbone}/{self.motion}"
        precision = "" if self.precision == "int8" else f"/{self.precision}"
        localiser = "" if self.localiser == "distance" else f"/{self.localiser}"
        localiser += "" if self.grid_px == 8 else f"/grid {self.grid_px}"
        return usual + precision + ("" if self.power == 0.5 else f"/power {self.power:g}") + localiser


CASES = (
    Case("mvtec_screw", motion="none"),
    Case("mvtec_screw"),
    Case("circuit_board"),
    Case("magnetic_tile", motion="none"),
    Case("dagm_class4", motion="none"),
    Case("kolektor_sdd", motion="none", input_px=512),
)


ABLATION = (
    Case("mvtec_screw", precision="f32"),
    Case("mvtec_screw", power=0.0),
    Case("magnetic_tile", motion="none", power=0.0),
    Case("mvtec_screw", localiser="both"),
    Case("magnetic_tile", motion="none", localiser="both"),
    Case("dagm_class4", motion="none", localiser="both"),
)


def resnet18_weights() -> Path | None:
    """ResNet-18's weights: the file SIGHTLINE_WEIGHTS names, or the one beside the real pictures; None without."""
    given = os.environ.get("SIGHTLINE_WEIGHTS")
    path = Path(given) if given else data_root() / "weights" / _WEIGHTS
    return path if path.is_file() else None


def train_case(case: Case, folder: Path, say: Callable[[str], None], seed: int = 0, bad: Sequence[Path] = ()) -> Bundle:
    """The bundle of `case`, learnt from its train/good under `folder`; `bad` defective parts sharpen its thresholds.

    One that is there already is taken as it is (see benchmarks/work_folder.py).

    Raises: InputError without pictures.
    """
    data = lay_out(case.data, folder)
    out = _bundle_path(case, folder, seed, bad)
    if out.is_file():
        return Bundle.open(out)
    start = time.monotonic()
    train_bundle(
        case.data,
        picture_paths(data / "train" / "good"),
        bad,
        backbone=case.backbone,
        weights=resnet18_weights() if case.backbone == "resnet18" else None,
        colour="auto",
        settings=TrainSettings(
            motion=case.motion,
            input_px=case.input_px,
            precision=case.precision,
            localiser=case.localiser,
            grid_px=case.grid_px,
            seed=seed,
            fit=FitSettings(power=case.power),
        ),
        created_at=_CREATED_AT,
        out=out,
        progress=_headings(case.name, say),
    )
    out.with_suffix(".seconds").write_text(f"{time.monotonic() - start:.1f}")
    return Bundle.open(out)


def training_s(case: Case, folder: Path) -> float:
    """How long the training of `case` under `folder` took."""
    return float(_bundle_path(case, folder).with_suffix(".seconds").read_text())


def _bundle_path(case: Case, folder: Path, seed: int = 0, bad: Sequence[Path] = ()) -> Path:
    knows = f"-{hashlib.sha256(repr(sorted(map(str, bad))).encode()).hexdigest()[:8]}" if bad else ""
    return folder / f"{case.name.replace('/', '-').replace(' ', '-')}-{case.input_px}-{seed}{knows}.bundle"


def judge_case(case: Case, bundle: Bundle, folder: Path) -> Evaluation:
    """What `sightline evaluate` finds on the test pictures of `case`."""
    inspector = Inspector(bundle, backend="onnxruntime")
    try:
        return evaluate(inspector, lay_out(case.data, folder), lambda what, done, total: None)
    finally:
        inspector.close()


def _headings(name: str, say: Callable[[str], None]) -> Callable[[str, int, int], None]:
    """Progress that says each step once."""

    def report(what: str, done: int, total: int) -> None:
        if done == 0:
            say(f"{name}: {what} ({total})")

    return report

"""What the demo can make: plates whose fixture wears, and parts under a machine that prints its parameters."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from deploy.demo_story import ASE_QUESTIONS, FUSED_QUESTIONS, PLATE_QUESTIONS, Question
from pipeline.field_members import FieldMembers
from pipeline.training import TrainSettings
from schemas.alert import Cause
from schemas.errors import InputError

SCRATCH_FROM_UNIT = 90
WEAR_FROM_UNIT = 90
DEFECT_RATE = 0.03
N_GOOD_PARTS = 80
N_LABELLED = 600
_AHEAD = 971_000
"""The ASE-like parts learnt from lie far ahead of those inspected."""


@dataclass(frozen=True, slots=True)
class DemoProduct:
    """One product of the demo: how it is learnt, sent and told.

    `opening`: said when the line runs; `camera`: options of `sightline camera`; `alert_cause`: of the
    alert that must come.
    """

    name: str
    opening: str
    camera: tuple[str, ...]
    train: Callable[[Path], None]
    questions: tuple[Question, ...]
    alert_cause: Cause


def train_plate(bundle_path: Path) -> None:
    """Train the demo's recipe from rendered good parts."""
    from pipeline.plate import PRODUCT, write_good_parts

    with tempfile.TemporaryDirectory(prefix="sightline-plates-") as folder:
        write_good_parts(Path(folder), N_GOOD_PARTS)
        _train(PRODUCT, Path(folder), TrainSettings(), None, bundle_path)


def train_ase(bundle_path: Path) -> None:
    """Train from good parts of the machine that prints; its layout and the reader go into the bundle."""
    from pipeline.ase_layout import simulated_layout
    from pipeline.ase_line import PRODUCT, AseLine

    line = AseLine()
    with tempfile.TemporaryDirectory(prefix="sightline-ase-") as folder:
        n_written, index = 0, _AHEAD
        while n_written < N_GOOD_PARTS:
            part = line.sample(index)
            index += 1
            if part.defective or not part.shown:
                continue
            (Path(folder) / f"{part.unit_id}.jpg").write_bytes(part.jpeg)
            n_written += 1
        _train(PRODUCT, Path(folder), TrainSettings(motion="none"), simulated_layout(line), bundle_path)


def train_fused(bundle_path: Path) -> None:
    """The same, taught besides from N_LABELLED labelled parts to judge picture and parameters at once.

    Raises: MissingExtra without torch or XGBoost.
    """
    from pipeline.ase_folder import write_ase_folder
    from pipeline.ase_line import AseLine
    from pipeline.fusion_bundling import check_extras, teach_fusion

    check_extras()
    train_ase(bundle_path)
    with tempfile.TemporaryDirectory(prefix="sightline-ase-") as folder:
        labels = write_ase_folder(Path(folder), AseLine(), N_LABELLED)
        teach_fusion(bundle_path, labels, progress=lambda what, done, total: None)


def demo_product(name: str) -> DemoProduct:
    """The product called `name`. Raises: InputError naming the ones there are."""
    products = _products()
    if name not in products:
        raise InputError(f"the demo has no product {name!r}: choose one of {', '.join(products)}")
    return products[name]


def _products() -> Mapping[str, DemoProduct]:
    plate = DemoProduct(
        "plate",
        f"from part {SCRATCH_FROM_UNIT} on the fixture scratches each",
        ("--simulate", "plate", "--defect-rate", str(DEFECT_RATE), "--scratch-from", str(SCRATCH_FROM_UNIT)),
        train_plate,
        PLATE_QUESTIONS,
        alert_cause=Cause.PRODUCT,
    )
    ase = DemoProduct(
        "ase",
        f"the machine prints what it measured beside every part; from part {WEAR_FROM_UNIT} on it wears",
        ("--simulate", "ase", "--defect-rate", str(DEFECT_RATE), "--wear-from", str(WEAR_FROM_UNIT)),
        train_ase,
        ASE_QUESTIONS,
        alert_cause=Cause.PROCESS,
    )
    fused = replace(
        ase,
        name="fused",
        opening=f"picture and printed parameters make one verdict; from part {WEAR_FROM_UNIT} on the machine wears",
        train=train_fused,
        questions=FUSED_QUESTIONS,
    )
    return {each.name: each for each in (ase, fused, plate)}


def _train(product: str, folder: Path, settings: TrainSettings, fields: FieldMembers | None, out: Path) -> None:
    from pipeline.bundling import train_bundle
    from pipeline.good_parts import picture_paths

    train_bundle(
        product,
        picture_paths(folder),
        (),
        backbone="student",
        weights=None,
        colour="grey",
        settings=settings,
        created_at=datetime.now(UTC),
        out=out,
        progress=lambda what, done, total: None,
        fields=fields,
    )

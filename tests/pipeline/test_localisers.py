"""The paper's localiser, and both together, trained on small renderings of the demo's plate, judged as on the line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from engines.bundle import Bundle
from engines.mapping_fit import MappingSettings
from pipeline.bundling import train_bundle
from pipeline.evaluation import evaluate
from pipeline.good_parts import picture_paths
from pipeline.inspection import Inspector
from pipeline.plate import SimulatedLine, encode_png, write_good_parts
from pipeline.train_settings import Localiser, TrainSettings

SIZE_PX = 128
QUICK = MappingSettings(exposures=20, steps=50, batch=1024, hidden=64, rate=4e-3)


def quiet(what: str, done: int, total: int) -> None:
    """Show no progress."""


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty plates to learn from, and ten good and ten faulty ones with masks."""
    root = tmp_path_factory.mktemp("plates")
    write_good_parts(root / "train" / "good", 20, size_px=SIZE_PX)
    for kind, rate in (("good", 0.0), ("fault", 1.0)):
        (root / "test" / kind).mkdir(parents=True)
        (root / "ground_truth" / kind).mkdir(parents=True)
        line = SimulatedLine(size_px=SIZE_PX, defect_rate=rate)
        for index in range(500, 510):
            unit = line.unit(index)
            (root / "test" / kind / f"{index}.png").write_bytes(encode_png(unit.picture))
            mask = np.asarray(unit.mask * 255, np.uint8)
            (root / "ground_truth" / kind / f"{index}_mask.png").write_bytes(encode_png(mask))
    return root


def train(plates: Path, out: Path, localiser: Localiser) -> Bundle:
    train_bundle(
        "plate",
        picture_paths(plates / "train" / "good"),
        [],
        backbone="student",
        weights=None,
        colour="auto",
        settings=TrainSettings(motion="none", localiser=localiser, mapping=QUICK),
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
        out=out,
        progress=quiet,
    )
    return Bundle.open(out)


@pytest.mark.parametrize(("localiser", "least"), [("alm", 0.6), ("both", 0.8)])
def test_a_bundle_of_either_localiser_passes_the_gate_and_tells_good_from_faulty(
    localiser: Localiser, least: float, plates: Path, tmp_path: Path
) -> None:
    bundle = train(plates, tmp_path / "plate.bundle", localiser)
    manifest = bundle.manifest
    assert manifest.parity is not None and manifest.parity.holds
    assert {"onnxruntime", "openvino"} <= {entry.backend for entry in manifest.parity.entries}
    assert (manifest.training.figures["localiser"], manifest.precision) == (localiser, "int8")
    assert manifest.thresholds.review < manifest.thresholds.fail
    inspector = Inspector(bundle, backend="onnxruntime")
    found = evaluate(inspector, plates, quiet)
    inspector.close()
    assert found.image_auroc is not None and found.image_auroc > least
    assert found.pixel_auroc is not None and found.pixel_auroc > 0.8

"""Training on small renderings of the demo's plate: good is told from scratched, bad input is refused with a reason."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.bundle import BASELINE, REPORT, Bundle
from pipeline.bundling import train_bundle
from pipeline.evaluation import evaluate
from pipeline.good_parts import picture_paths
from pipeline.inspection import InspectionRequest, Inspector, RecipeRules, Refusal
from pipeline.plate import SimulatedLine, encode_png, write_good_parts
from pipeline.recalibration import recalibrate
from pipeline.training import TrainSettings
from pipeline.training_summary import TrainingSummary
from schemas.errors import InputError

SIZE_PX = 128
N_GOOD = 30


def quiet(what: str, done: int, total: int) -> None:
    """Show no progress."""


def train(good: Path, out: Path, bad: tuple[Path, ...] = ()) -> TrainingSummary:
    return train_bundle(
        "plate",
        picture_paths(good),
        bad,
        backbone="student",
        weights=None,
        colour="auto",
        settings=TrainSettings(),
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
        out=out,
        progress=quiet,
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_good_parts(folder, N_GOOD, size_px=SIZE_PX)
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty good and twenty faulty plates with masks, in MVTec's layout."""
    root = tmp_path_factory.mktemp("labelled")
    for kind, rate in (("good", 0.0), ("fault", 1.0)):
        (root / "test" / kind).mkdir(parents=True)
        (root / "ground_truth" / kind).mkdir(parents=True)
        line = SimulatedLine(size_px=SIZE_PX, defect_rate=rate)
        for index in range(500, 520):
            unit = line.unit(index)
            (root / "test" / kind / f"{index}.png").write_bytes(encode_png(unit.picture))
            if kind == "fault":
                mask = np.asarray(unit.mask * 255, np.uint8)
                (root / "ground_truth" / kind / f"{index}_mask.png").write_bytes(encode_png(mask))
    return root


@pytest.fixture(scope="module")
def trained(good: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingSummary]:
    out = tmp_path_factory.mktemp("bundle") / "plate.bundle"
    return out, train(good, out, tuple(picture_paths(labelled / "test" / "fault")))


def test_a_bundle_from_good_plates_tells_good_from_faulty_ones(
    trained: tuple[Path, TrainingSummary], labelled: Path
) -> None:
    inspector = Inspector(Bundle.open(trained[0]), backend="onnxruntime")
    found = evaluate(inspector, labelled, quiet)
    inspector.close()
    assert (found.n_good, found.n_bad, found.n_uninspected) == (20, 20, 0)
    assert found.image_auroc is not None and found.image_auroc > 0.9
    assert found.pixel_auroc is not None and found.pixel_auroc > 0.9
    assert found.au_pro is not None and found.au_pro > 0.7
    assert found.false_calls_per_1000 is not None and found.false_calls_per_1000 <= 100
    low, high = found.intervals["image_auroc"]
    assert low <= found.image_auroc <= high
    assert found.escapes_by_kind["fault"][1] == 20


def test_a_bundle_holds_what_the_line_needs(trained: tuple[Path, TrainingSummary]) -> None:
    bundle, summary = Bundle.open(trained[0]), trained[1]
    manifest = bundle.manifest
    assert manifest.parity is not None and manifest.parity.holds
    assert manifest.thresholds.review < manifest.thresholds.fail
    assert 0 < manifest.cell_threshold < 5
    assert manifest.training.n_good + summary.n_refused == N_GOOD
    assert BASELINE in bundle.members
    picture = cv2.imdecode(np.frombuffer(bundle.members[REPORT], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape[1] > 600
    assert trained[0].with_suffix(".report.png").read_bytes() == bundle.members[REPORT]
    assert summary.sha256 == bundle.sha256
    assert summary.n_bad == 20 and summary.n_bad_caught >= 12
    assert 0 < summary.n_synthetic_caught <= summary.n_synthetic


def test_the_same_seed_and_pictures_give_the_same_bytes(
    trained: tuple[Path, TrainingSummary], good: Path, labelled: Path, tmp_path: Path
) -> None:
    train(good, tmp_path / "again.bundle", tuple(picture_paths(labelled / "test" / "fault")))
    assert (tmp_path / "again.bundle").read_bytes() == trained[0].read_bytes()


def test_calibration_on_other_good_parts_sets_the_thresholds_and_nothing_else(
    trained: tuple[Path, TrainingSummary], good: Path, tmp_path: Path
) -> None:
    bundle = Bundle.open(trained[0])
    others = write_good_parts(tmp_path, 30, first_unit=2_000_000, size_px=SIZE_PX)
    made, found = recalibrate(bundle, others, [], 50.0, n_threads=1, seed=0, progress=quiet)
    assert made.manifest.thresholds.review == found.review < found.fail
    assert made.members == bundle.members
    assert made.manifest.calibration.false_calls_per_1000 == 50
    assert made.manifest.parity is not None and made.manifest.parity.holds
    assert made.manifest.calibration.n_bad == 0
    rules, inspector = RecipeRules.of_manifest(made.manifest), Inspector(made, backend="onnxruntime")
    stopped = 0
    for unit in range(60):
        picture = SimulatedLine(size_px=SIZE_PX, defect_rate=0).unit(3_000_000 + unit).picture
        answer = inspector.inspect([InspectionRequest(encode_png(picture), "image/png")], rules)[0]
        assert not isinstance(answer, Refusal)
        stopped += answer.outcome != "pass"
    inspector.close()
    assert stopped <= 9  # 50 in 1000 are promised: of 60, more than 9 would come once in ten thousand times
    with pytest.raises(InputError, match="trained on"):
        recalibrate(bundle, picture_paths(good), [], 5.0, n_threads=1, seed=0, progress=quiet)


def faded_faults(folder: Path) -> list[Path]:
    """Twenty plates whose faults show at four tenths of their strength: not all are stopped at any rate."""
    folder.mkdir()
    good, faulty = (SimulatedLine(size_px=SIZE_PX, defect_rate=rate) for rate in (0.0, 1.0))
    for index in range(500, 520):
        mixed = 0.6 * good.unit(index).picture + 0.4 * faulty.unit(index).picture
        (folder / f"{index}.png").write_bytes(encode_png(np.asarray(np.rint(mixed), np.uint8)))
    return picture_paths(folder)


def test_calibration_with_defective_parts_stops_more_of_them(
    trained: tuple[Path, TrainingSummary], tmp_path: Path
) -> None:
    bundle, bad = Bundle.open(trained[0]), faded_faults(tmp_path / "bad")
    others = write_good_parts(tmp_path / "good", 30, first_unit=2_000_000, size_px=SIZE_PX)
    _, careful = recalibrate(bundle, others, [], 5.0, n_threads=1, seed=0, progress=quiet)
    made, found = recalibrate(bundle, others, bad, 5.0, n_threads=1, seed=0, progress=quiet)
    assert found.review < careful.review
    assert found.expected_per_1000 <= 5.0
    assert (made.manifest.calibration.n_bad, found.n_bad) == (20, 20)
    assert 8 <= found.n_bad_caught < 20
    with pytest.raises(InputError, match="both as good and as defective"):
        recalibrate(bundle, others, others[:1], 5.0, n_threads=1, seed=0, progress=quiet)


def test_a_few_bad_parts_among_the_good_are_named_and_do_not_hide_such_defects(
    good: Path, labelled: Path, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for path in picture_paths(good):
        (mixed / path.name).write_bytes(path.read_bytes())
    scratched = np.array(cv2.imread(str(picture_paths(good)[0]), cv2.IMREAD_GRAYSCALE), np.uint8)
    cv2.line(scratched, (30, 90), (70, 70), (250,), 3)
    (mixed / "zz_scratched.png").write_bytes(encode_png(scratched))
    summary = train(mixed, tmp_path / "mixed.bundle")
    assert summary.suspects == ["zz_scratched.png"]
    inspector = Inspector(Bundle.open(tmp_path / "mixed.bundle"), backend="onnxruntime")
    found = evaluate(inspector, labelled, quiet)
    again = inspector.inspect(
        [InspectionRequest(encode_png(scratched), "image/png")], RecipeRules.of_manifest(inspector.bundle.manifest)
    )[0]
    inspector.close()
    assert not isinstance(again, Refusal) and again.outcome == "fail"
    assert found.image_auroc is not None and found.image_auroc > 0.9


def noise_pictures(folder: Path, n: int, shape: tuple[int, int] = (SIZE_PX, SIZE_PX)) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for i in range(n):
        (folder / f"noise{i:02d}.png").write_bytes(encode_png(rng.integers(0, 255, shape, np.uint8)))


def test_pictures_of_other_things_among_the_good_are_refused(good: Path, tmp_path: Path) -> None:
    noise_pictures(tmp_path / "mixed", 12)
    for path in picture_paths(good)[:20]:
        (tmp_path / "mixed" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"good parts (cannot be aligned|look unlike)"):
        train(tmp_path / "mixed", tmp_path / "never.bundle")
    assert not (tmp_path / "never.bundle").exists()


def test_too_few_pictures_are_refused(good: Path, tmp_path: Path) -> None:
    for path in picture_paths(good)[:3]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="3 good pictures are too few"):
        train(tmp_path, tmp_path / "never.bundle")


def test_pictures_of_unequal_size_are_refused_by_name(good: Path, tmp_path: Path) -> None:
    for path in picture_paths(good)[:12]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    noise_pictures(tmp_path, 1, (64, 80))
    with pytest.raises(InputError, match=r"12 are 128x128, but noise00.png \(80x64\)"):
        train(tmp_path, tmp_path / "never.bundle")


def test_copies_of_one_picture_are_refused(good: Path, tmp_path: Path) -> None:
    content = picture_paths(good)[0].read_bytes()
    for i in range(12):
        (tmp_path / f"copy{i}.png").write_bytes(content)
    with pytest.raises(InputError, match="only 1 of 12 good pictures differ"):
        train(tmp_path, tmp_path / "never.bundle")


def test_a_file_that_is_no_picture_is_refused_by_name(good: Path, tmp_path: Path) -> None:
    for path in picture_paths(good)[:12]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(InputError, match=r"notes\.png is not a picture"):
        train(tmp_path, tmp_path / "never.bundle")


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_folder_without_pictures_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"not a folder|holds no picture"):
        train(tmp_path / name, tmp_path / "never.bundle")


def test_a_folder_in_another_layout_cannot_be_evaluated(trained: tuple[Path, TrainingSummary], tmp_path: Path) -> None:
    inspector = Inspector(Bundle.open(trained[0]), backend="onnxruntime")
    with pytest.raises(InputError, match="not laid out as test/good"):
        evaluate(inspector, tmp_path, quiet)
    inspector.close()

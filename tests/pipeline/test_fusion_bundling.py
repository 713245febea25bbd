"""A bundle taught from labelled pictures: verdicts carry fields and gate, and answer when a modality is absent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.backends.tensorrt_network import TensorRtNetwork
from engines.bundle import Bundle, write_bundle
from engines.oanet_graph import oanet_graph
from engines.oanet_training import OanetSettings
from pipeline.ase_folder import LABELS, write_ase_folder
from pipeline.ase_line import AseLine
from pipeline.bundling import train_bundle
from pipeline.field_members import FieldMembers
from pipeline.fusion_bundling import FusionSummary, check_backends, teach_fusion
from pipeline.fusion_members import NETWORK, RULES, TREES, Fuser
from pipeline.inspection import Inspection, InspectionRequest, Inspector, RecipeRules
from pipeline.labelled_parts import read_labels
from pipeline.layout_search import find_layout
from pipeline.training import TrainSettings
from pipeline.verdicts import DecidedBy, verdict_of
from schemas.errors import InputError, SetupError
from schemas.frame import Frame
from schemas.recipe import Recipe
from schemas.verdict import FieldStatus, Gate, Outcome, encode_verdict
from tests.engines import oanet_parts
from tests.pipeline.panels import COLUMNS, grey_of, pieces_of_sample, samples

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("xgboost", reason="the extra `boost` is not installed")
LINE = AseLine(3, hidden=0.0, mimics=0.0)
N_LABELLED = 120


def silent(what: str, done: int, total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, FusionSummary]:
    folder = tmp_path_factory.mktemp("ase")
    labels = write_ase_folder(folder / "labelled", LINE, N_LABELLED)
    good = [path for path, bad in read_labels(labels) if not bad][:20]
    parts = samples(COLUMNS)
    layout, reference, _ = find_layout(
        "ase", [part.picture for part in parts], [grey_of(part.picture) for part in parts],
        [pieces_of_sample(part, COLUMNS) for part in parts],
    )  # fmt: skip
    png = cv2.imencode(".png", reference)[1].tobytes()
    path = folder / "ase.bundle"
    train_bundle(
        "ase", good, [], backbone="student", weights=None, colour="rgb", settings=TrainSettings(motion="none"),
        created_at=datetime(2026, 1, 1, tzinfo=UTC), out=path, progress=silent, fields=FieldMembers(layout, png, "ase"),
    )  # fmt: skip
    summary = teach_fusion(path, labels, progress=silent)
    return Bundle.open(path), summary


def inspected(bundle: Bundle, pictures: list[bytes]) -> list[Inspection]:
    inspector = Inspector(bundle, backend="onnxruntime")
    try:
        rules = RecipeRules.of_manifest(bundle.manifest)
        answers = inspector.inspect([InspectionRequest(each, "image/jpeg") for each in pictures], rules)
    finally:
        inspector.close()
    assert all(isinstance(answer, Inspection) for answer in answers)
    return [answer for answer in answers if isinstance(answer, Inspection)]


def gate_of(answer: Inspection) -> Gate:
    assert answer.fused is not None
    return answer.fused.gate


def test_the_summary_counts_what_was_held_back_and_names_the_new_bundle(taught: tuple[Bundle, FusionSummary]) -> None:
    bundle, summary = taught
    assert summary.sha256 == bundle.sha256
    assert summary.n_good + summary.n_defective + summary.n_held == N_LABELLED
    assert "fused with machine parameters" in summary.text()
    assert {NETWORK, TREES, RULES} <= set(bundle.members)


def test_a_frame_becomes_a_verdict_with_fields_and_gate(taught: tuple[Bundle, FusionSummary]) -> None:
    bundle, _ = taught
    sample = LINE.sample(500)
    answer = inspected(bundle, [sample.jpeg])[0]
    frame = Frame("f1", "lab/line1/cam0", "image/jpeg", datetime(2026, 1, 1, tzinfo=UTC), sample.jpeg)
    recipe = Recipe(station=frame.station, product="ase", revision=1, bundle_sha256=bundle.sha256,
                    thresholds=bundle.manifest.thresholds)  # fmt: skip
    by = DecidedBy(datetime(2026, 1, 1, tzinfo=UTC), "0")
    verdict = json.loads(encode_verdict(verdict_of(frame, "ase", recipe, answer, by)))
    assert sum(field["status"] == FieldStatus.READ for field in verdict["fields"]) >= 12
    assert verdict["gate"]["image"] + verdict["gate"]["fields"] == pytest.approx(1)
    assert 0.3 < verdict["gate"]["image"] < 0.7
    assert verdict["timing_ms"]["fuse"] > 0


def test_parts_it_has_learnt_are_told_apart_by_the_code_of_the_line(taught: tuple[Bundle, FusionSummary]) -> None:
    parts = [LINE.sample(index) for index in range(40)]
    answers = inspected(taught[0], [part.jpeg for part in parts])
    stopped = np.array([answer.outcome is Outcome.FAIL for answer in answers])
    defective = np.array([part.defective for part in parts])
    assert stopped[defective].mean() > stopped[~defective].mean() + 0.4


def test_with_nothing_printed_the_picture_alone_decides_and_with_no_part_the_fields(
    taught: tuple[Bundle, FusionSummary],
) -> None:
    bundle, _ = taught
    sample = LINE.sample(500)
    blank, dark = sample.picture.copy(), sample.picture.copy()
    fuser = Fuser.of_bundle(bundle)
    assert fuser is not None
    x, y, w, h = fuser.part_px
    blank[: y - 5] = (16, 20, 30)
    blank[:, x + w + 5 :] = (16, 20, 30)
    dark[y : y + h, x : x + w] = 0
    pictures = [cv2.imencode(".jpg", each[:, :, ::-1])[1].tobytes() for each in (blank, dark)]
    without_fields, without_part = inspected(bundle, pictures)
    assert gate_of(without_fields).image == 1.0
    assert gate_of(without_part).image < 0.2


def test_the_same_frame_gets_the_same_answer(taught: tuple[Bundle, FusionSummary]) -> None:
    jpegs = [LINE.sample(index).jpeg for index in (500, 501)]
    both, alone = inspected(taught[0], jpegs), inspected(taught[0], jpegs[1:])
    assert (gate_of(both[1]), both[1].outcome, both[1].detail) == (gate_of(alone[0]), alone[0].outcome, alone[0].detail)


def test_an_incomplete_bundle_is_refused(taught: tuple[Bundle, FusionSummary], tmp_path: Path) -> None:
    bundle, _ = taught
    members = {name: content for name, content in bundle.members.items() if name != TREES}
    write_bundle(tmp_path / "cut.bundle", bundle.manifest, members)
    with pytest.raises(SetupError, match="train it again with --labels"):
        Fuser.of_bundle(Bundle.open(tmp_path / "cut.bundle"))


def test_a_bundle_of_before_the_causes_is_refused(taught: tuple[Bundle, FusionSummary], tmp_path: Path) -> None:
    bundle, _ = taught
    kept = {name: value for name, value in (bundle.arrays(RULES) or {}).items() if not name.startswith("cause")}
    np.savez(tmp_path / "rules.npz", **kept)  # type: ignore[arg-type]
    old = {**bundle.members, RULES: (tmp_path / "rules.npz").read_bytes()}
    write_bundle(tmp_path / "old.bundle", bundle.manifest, old)
    with pytest.raises(SetupError, match="older Sightline"):
        Fuser.of_bundle(Bundle.open(tmp_path / "old.bundle"))


def test_a_tensorrt_that_cannot_build_the_network_stops_nothing_and_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given = oanet_parts.lessons(n=24)
    net = oanet_parts.trained(given, OanetSettings(n_epochs=1, refine_epochs=1)).network()
    monkeypatch.setattr("pipeline.fusion_bundling.has_device", lambda: True)
    monkeypatch.setattr(TensorRtNetwork, "load", refuse)
    check_backends(oanet_graph(net), given.images_uint8(np.arange(4), 0), given.fields[0, :4])
    assert "not compared on tensorrt: it cannot read model.onnx" in caplog.text


def refuse(model: bytes, sha256: str) -> TensorRtNetwork:
    raise SetupError("it cannot read model.onnx")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("picture,kind\na.jpg,good\n", "columns picture and label"),
        ("picture,label\na.jpg,good\nb.jpg,maybe\n", "line 3: label 'maybe'"),
        ("picture,label\n" + "a.jpg,good\n" * 30, "0 defective parts"),
    ],
)
def test_labels_that_will_not_do_are_named(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / LABELS
    path.write_text(content)
    with pytest.raises(InputError, match=told):
        read_labels(path)

"""`sightline inspect` and `sightline bundle`: what a person or a program gets on stdout, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from deploy.cli import app
from engines.bundle import write_bundle
from pipeline.inspection import Inspection, Inspector, RecipeRules
from schemas.errors import InputError, SetupError
from schemas.verdict import Outcome, decode_verdict
from tests.pipeline.frames import plate_bundle, plate_frame, request


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    made = plate_bundle()
    path = tmp_path / "plate.bundle"
    write_bundle(path, made.manifest, made.members)
    return path


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "good.png").write_bytes(request(plate_frame(3, 2, 10)).picture)
    (folder / "scratched.jpg").write_bytes(request(plate_frame(scratch=(30, 36, 30, 9)), ".jpg").picture)
    return folder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=True)


class TestInspect:
    def test_json_is_one_verdict_a_picture_with_the_scores_of_the_inspector(self, bundle: Path, pictures: Path) -> None:
        result = run("inspect", bundle, pictures, "--backend", "onnxruntime", "--json")
        assert result.exit_code == 0
        verdicts = [decode_verdict(line.encode()) for line in result.stdout.splitlines()]
        assert [verdict.frame_id for verdict in verdicts] == [
            str(pictures / "good.png"),
            str(pictures / "scratched.jpg"),
        ]
        assert [verdict.outcome for verdict in verdicts] == [Outcome.PASS, Outcome.FAIL]
        assert verdicts[1].defects and verdicts[0].provenance.recipe_revision is None
        inspector = Inspector(plate_bundle(), backend="onnxruntime")
        (answer,) = inspector.inspect(
            [request(plate_frame(3, 2, 10))], RecipeRules.of_manifest(inspector.bundle.manifest)
        )
        assert isinstance(answer, Inspection) and answer.score == verdicts[0].score
        assert verdicts[0].provenance.bundle_sha256 == inspector.bundle.sha256

    def test_people_get_a_line_a_picture(self, bundle: Path, pictures: Path) -> None:
        result = run("inspect", bundle, pictures / "good.png", pictures / "scratched.jpg", "--backend", "onnxruntime")
        good, scratched = result.stdout.splitlines()
        assert good.startswith("pass") and scratched.startswith("fail") and " px" in scratched

    def test_exit_code_1_unless_all_pass_when_asked_for(self, bundle: Path, pictures: Path) -> None:
        assert run("inspect", bundle, pictures / "good.png", "--backend", "onnxruntime", "--exit-code").exit_code == 0
        assert run("inspect", bundle, pictures, "--backend", "onnxruntime", "--exit-code").exit_code == 1

    def test_a_picture_that_cannot_be_read_is_a_line_and_exit_code_1(self, bundle: Path, pictures: Path) -> None:
        (pictures / "cut.png").write_bytes((pictures / "good.png").read_bytes()[:900])
        (pictures / "text.png").write_bytes(b"no picture")
        result = run("inspect", bundle, pictures, "--backend", "onnxruntime", "--json")
        assert result.exit_code == 1
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        refused = {Path(line["frame_id"]).name: line["refused"]["reason"] for line in lines if "refused" in line}
        assert refused == {"cut.png": "corrupt_picture", "text.png": "corrupt_picture"}
        assert len(lines) == 4

    def test_thresholds_can_be_given(self, bundle: Path, pictures: Path) -> None:
        lax = run("inspect", bundle, pictures, "--backend", "onnxruntime", "--review", "5", "--json")
        assert {json.loads(line)["outcome"] for line in lax.stdout.splitlines()} == {"pass"}
        wrong = run("inspect", bundle, pictures, "--backend", "onnxruntime", "--review", "5", "--fail", "1")
        assert isinstance(wrong.exception, InputError) and "--review 5.0" in str(wrong.exception)

    def test_overlays_are_written_beside_each_other(self, bundle: Path, pictures: Path, tmp_path: Path) -> None:
        other = tmp_path / "more"
        other.mkdir()
        (other / "good.png").write_bytes((pictures / "good.png").read_bytes())
        run("inspect", bundle, pictures, other, "--backend", "onnxruntime", "--overlay", tmp_path / "out")
        names = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert names == ["more-good.overlay.png", "pictures-good.overlay.png", "scratched.overlay.png"]
        drawn = cv2.imread(str(tmp_path / "out" / "scratched.overlay.png"))
        assert np.asarray(drawn).shape == (160, 192, 3)

    def test_what_does_not_exist_is_named(self, bundle: Path, pictures: Path) -> None:
        missing = run("inspect", bundle, pictures / "nowhere.png")
        assert isinstance(missing.exception, InputError) and "nowhere.png does not exist" in str(missing.exception)
        no_bundle = run("inspect", pictures / "good.png", pictures / "good.png")
        assert isinstance(no_bundle.exception, SetupError) and "not a Sightline bundle" in str(no_bundle.exception)


class TestBundle:
    def test_check_describes_a_whole_bundle(self, bundle: Path) -> None:
        result = run("bundle", "check", bundle)
        assert result.exit_code == 0
        assert "plate" in result.stdout and "model.onnx" in result.stdout and "matches" in result.stdout
        document = json.loads(run("bundle", "check", bundle, "--json").stdout)
        assert document["manifest"]["product"] == "plate" and len(document["sha256"]) == 64

    def test_check_refuses_an_altered_one(self, bundle: Path) -> None:
        content = bytearray(bundle.read_bytes())
        content[content.index(b"IHDR")] ^= 1
        bundle.write_bytes(content)
        assert isinstance(run("bundle", "check", bundle).exception, SetupError)

    def test_parity_compares_every_backend_on_the_pictures_given(self, bundle: Path, pictures: Path) -> None:
        result = run("bundle", "parity", bundle, pictures, "--json")
        assert result.exit_code == 0
        report = json.loads(result.stdout)
        assert report["n_pictures"] == 2 and all(entry["holds"] for entry in report["entries"])
        text = run("bundle", "parity", bundle).stdout
        assert "openvino" in text and "holds" in text

    def test_compile_keeps_an_engine_that_inspect_then_uses(self, bundle: Path, pictures: Path, tmp_path: Path) -> None:
        assert run("bundle", "compile", bundle, "--backend", "openvino").exit_code == 0
        (plan,) = (tmp_path / "cache" / "engines").glob("*.plan")
        before = plan.stat().st_mtime_ns
        result = run("inspect", bundle, pictures / "good.png", "--backend", "openvino")
        assert result.exit_code == 0 and plan.stat().st_mtime_ns == before

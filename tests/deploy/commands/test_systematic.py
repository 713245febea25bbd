"""`sightline systematic` and `sightline baseline`: a folder followed as the line would."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from deploy.cli import app
from engines.bundle import BASELINE, Bundle, write_bundle
from pipeline.baseline import Baseline
from pipeline.inspection import Inspector
from pipeline.offline import bundle_frames, product_baseline
from pipeline.root_cause import RootCause
from schemas.errors import InputError
from schemas.recipe import WindowSettings
from tests.pipeline.aligned import Box, Line
from tests.pipeline.frames import plate_bundle, plate_frame, request

SCRATCH: Box = (20, 30, 16, 3)
LINE = Line()


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def folder_of(path: Path, pictures: list[np.ndarray]) -> Path:
    path.mkdir()
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(path / f"{number:03d}.png"), picture)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "good", [LINE.picture(500 + number) for number in range(40)])


class TestSystematic:
    def test_a_mark_on_every_part_is_found_drawn_and_dated(self, tmp_path: Path, good: Path) -> None:
        parts = [LINE.picture(number, SCRATCH if number >= 20 else None) for number in range(60)]
        folder = folder_of(tmp_path / "parts", parts)
        out = tmp_path / "out" / "marks.png"
        result = run("systematic", folder, "--baseline", good, "--out", out, "--window", "21", "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert [alert["state"] for alert in found["alerts"]] == ["suspected", "confirmed"]
        assert found["alerts"][0]["first_sequence"] == 21
        assert found["window"] == 21 and found["n_frames"] == 60 and len(found["open"]) == 1
        assert cv2.imread(str(out)) is not None

    def test_good_parts_show_nothing_and_the_picture_says_so(self, tmp_path: Path, good: Path) -> None:
        folder = folder_of(tmp_path / "parts", [LINE.picture(number) for number in range(40)])
        result = run("systematic", folder, "--baseline", good, "--out", tmp_path / "o.png")
        assert result.exit_code == 0
        assert "Nothing keeps coming back" in result.stdout
        assert (tmp_path / "o.png").exists()

    def test_without_a_baseline_what_all_textures_share_is_the_mark(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        textures = [np.clip(rng.normal(120, 20, (48, 48)), 0, 255).astype(np.uint8) for _ in range(60)]
        plain = folder_of(tmp_path / "plain", textures)
        for texture in textures:
            texture[20:23, 10:40] -= np.minimum(texture[20:23, 10:40], 60)
        marked = folder_of(tmp_path / "marked", textures)
        found = json.loads(run("systematic", marked, "--out", tmp_path / "a.png", "--json").stdout)
        blank = json.loads(run("systematic", plain, "--out", tmp_path / "b.png", "--json").stdout)
        assert [alert["state"] for alert in found["alerts"]] == ["suspected", "confirmed"]
        x, y, w, h = found["alerts"][0]["region_px"]
        assert abs(x - 10) <= 3 and abs(y - 20) <= 3 and abs(w - 30) <= 6 and abs(h - 3) <= 4
        assert blank["alerts"] == []

    def test_pictures_of_two_sizes_are_refused_by_name(self, tmp_path: Path) -> None:
        sizes = [np.zeros((32, 32), np.uint8)] * 5 + [np.zeros((32, 40), np.uint8)]
        folder = folder_of(tmp_path / "parts", sizes)
        result = run("systematic", folder, "--out", tmp_path / "o.png")
        assert isinstance(result.exception, InputError)
        assert "005.png" in str(result.exception)

    def test_a_bundle_aligns_and_scores_and_the_state_is_the_streams(self, tmp_path: Path) -> None:
        made = plate_bundle()
        path = tmp_path / "plate.bundle"
        write_bundle(path, made.manifest, made.members)
        folder = tmp_path / "parts"
        folder.mkdir()
        for number in range(12):
            (folder / f"{number:02d}.png").write_bytes(request(plate_frame(number % 3, 1, number)).picture)
        arguments = ("--bundle", path, "--backend", "onnxruntime", "--window", "9", "--json")
        found = json.loads(run("systematic", folder, "--out", tmp_path / "o.png", *arguments).stdout)
        inspector = Inspector(made, backend="onnxruntime")
        settings = WindowSettings(frames=9)
        frames = [f for f in bundle_frames(sorted(folder.iterdir()), inspector, settings, lambda *_: None) if f]
        state = RootCause.start(frames[0], product_baseline(made), made.template_grey())
        for frame in frames:
            state.update(frame)
        assert found["window_hash"] == state.window_hash
        assert found["n_frames"] == len(frames) == 12


class TestBaseline:
    def test_only_the_baseline_of_the_new_bundle_differs(self, tmp_path: Path) -> None:
        made = plate_bundle()
        path, out = tmp_path / "plate.bundle", tmp_path / "again.bundle"
        write_bundle(path, made.manifest, made.members)
        folder = tmp_path / "good"
        folder.mkdir()
        for number in range(10):
            (folder / f"{number:02d}.png").write_bytes(request(plate_frame(number % 3, 1, number)).picture)
        result = run("baseline", path, "--good", folder, "--out", out, "--backend", "onnxruntime", "--json")
        assert result.exit_code == 0, result.output
        again = Bundle.open(out)
        assert again.sha256 == json.loads(result.stdout)["sha256"]
        golden = Baseline.from_bytes(again.members[BASELINE])
        assert golden.n_frames == 10 and golden.background is not None
        rest = {name: content for name, content in again.members.items() if name != BASELINE}
        assert rest == {name: content for name, content in made.members.items() if name != BASELINE}

"""`sightline layout` with the real CnOCR: found, tried, drawn, and put into a bundle by `train --fields`."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.ase_line import AseLine
from pipeline.ase_parameters import PARAMETERS


def sightline(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = tmp_path_factory.mktemp("ase")
    line = AseLine(5)
    for index in range(0, 96, 4):
        (pictures / f"{index:03d}.jpg").write_bytes(line.sample(index).jpeg)
    return pictures


@pytest.mark.slow
@pytest.mark.skipif(find_spec("cnocr") is None, reason="needs the extra ocr: pip install 'sightline[ocr]'")
def test_a_layout_is_found_tried_corrected_and_trained_with(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "layout.toml"
    found = sightline("layout", str(folder), "--product", "ase", "--out", str(out), "--count", "4", "--json")
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert {field["name"] for field in told["fields"]} == {each.name for each in PARAMETERS}
    assert all(field["trusted"] and field["n_disagree"] == 0 for field in told["fields"])
    assert out.with_suffix(".png").is_file() and out.with_suffix(".drawn.png").is_file()
    out.write_text(out.read_text().replace('name = "BLT"', 'name = "Bond line"'))
    again = sightline("layout", str(folder), "--product", "ase", "--check", str(out), "--count", "3")
    assert again.returncode == 0 and "Bond line: 3 of 3 read" in again.stdout, again.stdout + again.stderr
    bundle = tmp_path / "ase.bundle"
    trained = sightline("train", "ase", "--good", str(folder), "--motion", "none", "--input-px", "128",
                        "--fields", str(out), "--out", str(bundle))  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    first = sightline("inspect", str(bundle), str(folder / "000.jpg"), "--json", "--review", "1000")
    fields = {field["name"]: field for field in json.loads(first.stdout)["fields"]}
    assert fields["Bond line"]["value"] == AseLine(5).sample(0).fields["BLT"].value


def test_a_layout_that_does_not_exist_is_told_with_the_command_that_finds_one(folder: Path, tmp_path: Path) -> None:
    nowhere = sightline(
        "train", "ase", "--good", str(folder), "--fields", str(tmp_path / "no.toml"), "--out", "x.bundle"
    )
    assert nowhere.returncode == 1 and "sightline layout" in nowhere.stderr and "Traceback" not in nowhere.stderr

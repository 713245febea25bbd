"""`sightline train --labels`: what will not do is said before anything is trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def sightline(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_labels_without_a_layout_and_labels_that_are_wrong_are_refused_at_once(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("picture,label\na.jpg,good\nb.jpg,broken\n")
    given = ("train", "ase", "--good", str(tmp_path), "--out", str(tmp_path / "ase.bundle"), "--labels", str(labels))
    alone = sightline(*given)
    assert alone.returncode == 1
    assert "give --fields layout.toml as well" in alone.stderr
    wrong = sightline(*given, "--fields", str(tmp_path / "layout.toml"))
    assert wrong.returncode == 1
    assert "line 3: label 'broken'" in wrong.stderr

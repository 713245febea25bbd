"""`sightline train --device cuda`: that it cannot be is said before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.commands.test_train_labels import sightline


def test_a_gpu_is_refused_where_no_network_is_learnt(tmp_path: Path) -> None:
    out = str(tmp_path / "plate.bundle")
    said = sightline("train", "plate", "--good", str(tmp_path), "--out", out, "--device", "cuda")
    assert said.returncode == 1
    assert "no network is learnt here" in said.stderr


def test_a_gpu_that_is_not_there_is_a_set_up_error(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'sightline[train]'")
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    given = ("train", "plate", "--good", str(tmp_path), "--out", str(tmp_path / "plate.bundle"), "--localiser", "alm")
    said = sightline(*given, "--device", "cuda")
    assert said.returncode == 2
    assert "sees no GPU" in said.stderr and "use --device cpu or auto" in said.stderr

"""What `sightline train` is asked for reaches the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from pipeline.plate import write_good_parts
from pipeline.train_settings import TrainSettings
from schemas.errors import InputError

STOP = "seen enough"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], ("part", 8, "int8", 0)),
        (["--scored", "all", "--grid-px", "4"], ("all", 4, "int8", 0)),
        (["--precision", "f16", "--seed", "3"], ("part", 8, "f16", 3)),
        (["--precision", "int8-symmetric"], ("part", 8, "int8-symmetric", 0)),
    ],
)
def test_choices_of_the_command_line_are_those_of_the_training(
    options: list[str], wanted: tuple[str, int, str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good_parts(tmp_path / "good", 2, size_px=64)
    seen: list[TrainSettings] = []

    def trained(*given: Any, settings: TrainSettings, **rest: Any) -> None:
        seen.append(settings)
        raise InputError(STOP)

    monkeypatch.setattr("pipeline.bundling.train_bundle", trained)
    command = ["train", "plate", "--good", str(tmp_path / "good"), "--out", str(tmp_path / "plate.bundle")]
    ran = CliRunner().invoke(app, [*command, *options])
    assert STOP in str(ran.exception)
    (settings,) = seen
    assert (settings.scored, settings.grid_px, settings.precision, settings.seed) == wanted


def test_a_grid_that_is_not_made_is_refused(tmp_path: Path) -> None:
    given = ["train", "plate", "--good", str(tmp_path), "--out", str(tmp_path / "plate.bundle"), "--grid-px", "2"]
    assert CliRunner().invoke(app, given).exit_code == 2

"""The demo's products: known by name, and the machine that prints read on a whole line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.demo_products import demo_product
from schemas.alert import Cause
from schemas.errors import InputError


def test_an_unknown_product_is_refused_with_the_ones_there_are() -> None:
    causes = [demo_product(name).alert_cause for name in ("plate", "ase", "fused")]
    assert causes == [Cause.PRODUCT, Cause.PROCESS, Cause.PROCESS]
    with pytest.raises(InputError, match="choose one of ase, fused, plate"):
        demo_product("screw")


@pytest.mark.slow
def test_the_demo_of_the_machine_that_prints_reads_what_it_prints_and_tells_its_wear(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "deploy.cli",
        "demo",
        "--product",
        "ase",
        "--seconds",
        "20",
        "--state",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "printed parameters are known" in done.stdout and "Stage Temp" in done.stdout
    assert "ALERT confirmed · process" in done.stdout and "Bond Force of ase" in done.stdout

"""What the README tells a newcomer to type, typed, on a real line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pipeline.plate import SimulatedLine, encode_png, write_good_parts
from tests.databases import fresh_database
from tests.docs_blocks import block
from tests.line.line_process import LineProcess

ROOT = Path(__file__).resolve().parents[2]


class Newcomer:
    """Someone with a running line, a folder of good parts and one of pictures, and `sightline` on the PATH."""

    def __init__(self, folder: Path, line: LineProcess, settings: dict[str, str]) -> None:
        self.folder, self.line = folder, line
        (folder / "bin").mkdir()
        script = folder / "bin" / "sightline"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deploy.cli "$@"\n')
        script.chmod(0o755)
        named = {f"SIGHTLINE_{name.upper()}": value for name, value in settings.items()}
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**os.environ, **named, "PATH": path, "PYTHONPATH": str(ROOT)}

    def types(self, name: str) -> str:
        """Run the README's block `name`; what it printed."""
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", block("README.md", name)],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}\n{self.line.said()}"
        return done.stdout


@pytest.fixture
def newcomer(kafka_url: str, postgres_url: str, topic_prefix: str, tmp_path: Path) -> Iterator[Newcomer]:
    write_good_parts(tmp_path / "good", 24)
    (tmp_path / "pictures").mkdir()
    plates = SimulatedLine(7, defect_rate=0.0)
    for index in range(5):
        (tmp_path / "pictures" / f"{index}.png").write_bytes(encode_png(plates.unit(5000 + index).picture))
    with fresh_database(postgres_url) as database:
        settings = {
            "kafka_url": kafka_url,
            "postgres_url": database,
            "state_dir": str(tmp_path / "state"),
            "topic_prefix": topic_prefix,
            "replication_factor": "1",
            "min_insync_replicas": "1",
            "partitions": "2",
        }
        with LineProcess(tmp_path / "state", settings=settings) as line:
            yield Newcomer(tmp_path, line, settings)


def test_the_readme_works_as_written_from_good_parts_to_sql(newcomer: Newcomer):
    newcomer.types("commission")
    newcomer.line.wait_for_recipes(1)
    newcomer.types("camera")
    count = "SELECT count(*) FROM sightline.verdict WHERE outcome <> 'uninspected'"
    assert newcomer.line.wait_for_count(count, 65) == 65
    assert "pass         pictures/0.png" in newcomer.types("look")
    assert len(list((newcomer.folder / "overlays").glob("*.png"))) == 5
    newcomer.types("history")
    for statement in block("README.md", "sql").split(";"):
        if statement.strip():
            with psycopg.connect(newcomer.line.postgres) as connection:
                connection.execute("SET ROLE sightline_reader")
                rows = connection.execute(statement.encode()).fetchall()
            assert rows or "v_pareto" in statement, statement

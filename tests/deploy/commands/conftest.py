from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.database import connect
from tests.databases import database_name, fresh_database
from tests.worked_example import tell


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Sightline = Callable[..., Ran]


@pytest.fixture
def sightline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Sightline:
    """Runs `sightline ARGUMENT...` in this process, in an empty folder."""
    from deploy.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["sightline", *arguments])
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def morning(postgres_url: str, migrated_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a database that holds the worked example; only to be read."""
    with fresh_database(postgres_url, template=database_name(migrated_database)) as url:
        with connect(url) as conn:
            tell(conn, tmp_path_factory.mktemp("morning"))
        yield url


@pytest.fixture
def own_morning(database: str, tmp_path: Path) -> str:
    """URL of this test's own database with the worked example."""
    with connect(database) as conn:
        tell(conn, tmp_path)
    return database

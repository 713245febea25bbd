"""The embedded database."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import psutil
import psycopg
import pytest

from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.service import EmbeddedService
from tests.deploy.embedded.service_contract import ServiceContract


class TestEmbeddedPostgres(ServiceContract):
    kind: ClassVar[type[EmbeddedService]] = EmbeddedPostgres

    def put(self, url: str, word: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS word (text text, at timestamptz DEFAULT now())")
            connection.execute("INSERT INTO word VALUES (%s)", (word,))

    def get(self, url: str) -> list[str]:
        with psycopg.connect(url) as connection:
            return [row[0] for row in connection.execute("SELECT text FROM word ORDER BY at")]


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    service = EmbeddedPostgres(tmp_path)
    service.start()
    yield service
    service.stop()


def test_after_an_immediate_shutdown_committed_rows_are_there_and_the_url_is_the_same(
    postgres: EmbeddedPostgres,
) -> None:
    url = postgres.url
    session = psycopg.connect(url)
    session.execute("CREATE TABLE kept (n int)")
    session.commit()
    session.execute("INSERT INTO kept VALUES (1)")
    postgres.stop_immediately()
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    assert postgres.start() == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_stale_pid_file_that_names_a_living_stranger_does_not_keep_it_from_starting(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    postgres.stop_immediately()
    pid_file = tmp_path / "postgres" / "data" / "postmaster.pid"
    pid_file.write_text(f"{os.getppid()}\n{pid_file.parent}\n1700000000\n5432\n\n127.0.0.1\n\nready\n")
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_its_password_is_readable_by_the_owner_alone_and_is_needed(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    password = tmp_path / "postgres" / "password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert len(password.read_text()) >= 32
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url.replace(password.read_text(), "wrong"))


def test_times_are_utc_and_text_is_utf8(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute("SELECT current_setting('timezone'), current_setting('server_encoding')").fetchone()
    assert rows == ("UTC", "UTF8")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand Postgres to another account")
def test_root_can_use_a_folder_that_nobody_else_may_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "state") as postgres, psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child that its parent died")
def test_it_stops_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib; from deploy.embedded.postgres import EmbeddedPostgres;"
        "server = EmbeddedPostgres(pathlib.Path(sys.argv[1])); server.start(); print(server.pid, flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=root, capture_output=True, text=True, check=False
    )
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(run.stdout)).wait(10)
    assert not psutil.pid_exists(int(run.stdout))

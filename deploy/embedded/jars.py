"""Apache Kafka's jars: fetched once from a Maven repository, each checked against its sha256, then cached.

`kafka.lock` beside this module lists them, ``group:artifact:version sha256`` a line. To make it anew for another
version: ``python -m deploy.embedded.jars > deploy/embedded/kafka.lock`` (after changing `COORDINATES`).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deploy.embedded.child import Progress
from schemas.errors import SetupError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

KAFKA_VERSION = "4.3.1"
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:2.0.17")
_LOCK_FILE = Path(__file__).with_name("kafka.lock")
_N_DOWNLOADS = 6
_N_ATTEMPTS = 3
_BACKOFF_S = 0.5
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked artefact."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def cache_dir(environ: Mapping[str, str]) -> Path:
    """Where downloads are kept: ``$SIGHTLINE_CACHE``, ``$XDG_CACHE_HOME/sightline`` or ``~/.cache/sightline``."""
    if chosen := environ.get("SIGHTLINE_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sightline"


def locked_jars() -> tuple[Jar, ...]:
    """The jars of the lock file, in its order."""
    jars = []
    for line in _LOCK_FILE.read_text().splitlines():
        coordinate, sha256 = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, sha256))
    return tuple(jars)


def missing_jars(folder: Path) -> tuple[Jar, ...]:
    """Which of the locked jars are not in `folder` yet."""
    return tuple(jar for jar in locked_jars() if not (folder / jar.file_name).exists())


def kafka_jars(progress: Progress) -> Path:
    """The folder that holds every jar of the broker; the first call downloads them (about 43 MB).

    Raises: SetupError when a download fails or does not have the sha256 the lock file says.
    """
    folder = cache_dir(os.environ) / f"kafka-{KAFKA_VERSION}"
    missing = missing_jars(folder)
    if missing:
        progress(f"kafka: fetching {len(missing)} jars of Apache Kafka {KAFKA_VERSION}, about 43 MB, once")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _fetch_all(missing, folder, progress)
        except OSError as exc:
            raise SetupError(
                f"cache folder {folder} cannot be written: {exc}; set SIGHTLINE_CACHE to one that can"
            ) from exc
    return folder


def _fetch_all(jars: tuple[Jar, ...], folder: Path, progress: Progress) -> None:
    trust = _trust()
    with ThreadPoolExecutor(_N_DOWNLOADS, thread_name_prefix="jars") as pool:
        fetches = [pool.submit(_fetch, jar, folder, trust) for jar in jars]
        try:
            for n_done, fetch in enumerate(as_completed(fetches), 1):
                fetch.result()
                if n_done % 10 == 0 or n_done == len(jars):
                    progress(f"kafka: {n_done} of {len(jars)} jars fetched")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(jar: Jar, folder: Path, trust: ssl.SSLContext) -> None:
    """Download `jar` beside its place, check it, then put it there."""
    content = _download(jar, trust)
    actual = hashlib.sha256(content).hexdigest()
    if actual != jar.sha256:
        raise SetupError(
            f"{jar.coordinate} was fetched with sha256 {actual}, expected {jar.sha256}: the download was altered or "
            "cut short; try again, or another mirror in SIGHTLINE_MAVEN_URL"
        )
    aside = folder / f"{jar.file_name}.{uuid.uuid4().hex}.part"
    try:
        aside.write_bytes(content)
        aside.replace(folder / jar.file_name)
    finally:
        aside.unlink(missing_ok=True)


def _download(jar: Jar, trust: ssl.SSLContext) -> bytes:
    artifact = _maven(Path()).create_dependency(jar.coordinate).artifact
    url = f"{_mirror()}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
    for attempt in range(1, _N_ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=trust) as response:
                return cast(bytes, response.read())
        except (OSError, http.client.HTTPException) as exc:
            if attempt == _N_ATTEMPTS:
                raise SetupError(
                    f"{jar.coordinate} of the embedded broker could not be fetched from {url}: {exc}. The first start "
                    "needs the network; give a mirror of Maven Central in SIGHTLINE_MAVEN_URL, copy a filled cache "
                    "folder here and name it in SIGHTLINE_CACHE, or run against a broker of your own with --kafka"
                ) from exc
        time.sleep(attempt * _BACKOFF_S)
    raise AssertionError("unreachable")


def _trust() -> ssl.SSLContext:
    """The authorities of the system (where a company's proxy has its own) and those of the certifi package."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _mirror() -> str:
    from jgo.constants import MAVEN_CENTRAL_URL

    return (os.environ.get("SIGHTLINE_MAVEN_URL") or MAVEN_CENTRAL_URL).rstrip("/")


def _maven(repository_cache: Path) -> MavenContext:
    from jgo.maven import MavenContext

    return MavenContext(repo_cache=repository_cache, remote_repos={"central": _mirror()}, timeout=_TIMEOUT_S)


def resolve_lock() -> list[str]:
    """Lines of a new lock file for `COORDINATES`, resolved through their POMs."""
    from jgo.parse import Coordinate

    lines = []
    with tempfile.TemporaryDirectory(prefix="sightline-jars-") as aside:
        context = _maven(Path(aside))
        inputs = [context.create_dependency(replace(Coordinate.parse(text), scope="compile")) for text in COORDINATES]
        roots, transitive = context.resolver.resolve(inputs)
        for dependency in (*roots, *(d for d in transitive if d.scope in ("compile", "runtime"))):
            sha256 = hashlib.sha256(dependency.artifact.resolve().read_bytes()).hexdigest()
            lines.append(f"{dependency.groupId}:{dependency.artifactId}:{dependency.version} {sha256}")
    return sorted(set(lines))


if __name__ == "__main__":
    sys.stdout.write("\n".join(resolve_lock()) + "\n")

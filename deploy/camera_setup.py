"""Builds a camera process from settings: where its broker is, where it spools, where large pictures go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agents.backlog import DeliveryLimits
from agents.claim_check import ClaimCheck
from agents.frame_producer import FrameProducer, KafkaFrameProducer, ProducerFactory
from agents.frame_publisher import FramePublisher
from agents.spool import Spool
from deploy.embedded.kafka import SERVICE
from deploy.embedded.ports import LOOPBACK
from deploy.embedded.state_folder import StateFolder
from deploy.kafka_clients import kafka_python_options
from deploy.settings import Settings
from schemas.errors import SetupError
from schemas.store import ContentStore
from schemas.topics import Topics

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CameraDelivery:
    """How a camera delivers. claims_url: where pictures above 2 MiB go, None for the settings' choice."""

    spool_bytes: int
    linger_ms: int
    claims_url: str | None
    waits: bool


def open_publisher(
    settings: Settings, station: str, delivery: CameraDelivery, notice: Callable[[str], None]
) -> FramePublisher:
    """The publisher of `station`, its spool in the state folder. Raises: SetupError."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # the publisher says what matters, once
    connect = producer_factory(settings, delivery.linger_ms)
    claims_url = delivery.claims_url or _claims_url(settings)
    claims = ClaimCheck(None if claims_url is None else ContentStore(claims_url))
    spool = Spool(spool_folder(settings.state_dir, station), delivery.spool_bytes)
    limits = DeliveryLimits(memory_bytes=min(DeliveryLimits().memory_bytes, delivery.spool_bytes // 2))
    return FramePublisher(connect, spool, claims, limits=limits, waits=delivery.waits, notice=notice)


def producer_factory(settings: Settings, linger_ms: int) -> ProducerFactory:
    """Connects to the broker of the settings, else to the one that a run serves from the state folder.

    Raises: SetupError when there is neither.
    """
    topic = Topics(settings.topic_prefix).frames
    if settings.kafka_url:
        options = kafka_python_options(settings)
        return lambda: KafkaFrameProducer(options, topic, linger_ms)
    state_dir = settings.state_dir
    _embedded_url(state_dir)

    def connect() -> FrameProducer:
        return KafkaFrameProducer({"bootstrap_servers": _embedded_url(state_dir)}, topic, linger_ms)

    return connect


def spool_folder(state_dir: Path, station: str) -> Path:
    """Where frames of `station` wait on this machine."""
    return state_dir.joinpath("spool", *station.split("/"))


def _embedded_url(state_dir: Path) -> str:
    """Address of the embedded broker, running or to come again; it may change with a restart."""
    record = StateFolder(state_dir, SERVICE).read_record()
    if record is None or "broker" not in record.ports:
        raise SetupError(
            f"no broker: none was ever started in {state_dir}; give --kafka host:port, or run the line first "
            f"(sightline up --state {state_dir})"
        )
    return f"{LOOPBACK}:{record.ports['broker']}"


def _claims_url(settings: Settings) -> str | None:
    """The first store workers redeem claims from, if this machine is known to share it with them."""
    is_default = settings.claim_urls == (settings.store_url("claims"),)
    if is_default and settings.kafka_url:
        return None
    return settings.claim_urls[0]

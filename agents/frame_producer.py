"""The camera's Kafka producer: kafka-python, acks=all, idempotent, one batch at a time a station, never giving up."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from kafka import KafkaProducer
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    UnsupportedVersionError,
)

from agents.broker_address import bootstrap_servers, reach
from agents.closing_socket import DIRECT
from agents.spool import SpoolRecord
from schemas.errors import SetupError, TransientError
from schemas.topics import MAX_MESSAGE_BYTES

BATCH_BYTES = 1024 * 1024
DEFAULT_LINGER_MS = 0
"""Batches grow by themselves while one is on its way; waiting for company would add its time to every verdict."""
_FOR_EVER_MS = 2**31 - 1
_BURIAL_S = 60.0

OnAcknowledged = Callable[[], None]
OnFailed = Callable[[BaseException], None]


class FrameProducer(Protocol):
    """A connection that delivers records of one topic in the order they were given.

    `on_acknowledged` or `on_failed` is called once a record, from any thread, unless the producer was
    abandoned. After a failure nothing given later is delivered before `abandon`, which may be called from within
    `on_failed`, returns.
    """

    def send(self, record: SpoolRecord, on_acknowledged: OnAcknowledged, on_failed: OnFailed) -> None: ...

    def abandon(self) -> None:
        """Stop at once; what is not acknowledged may or may not have arrived."""

    def close(self) -> None:
        """End cleanly; everything given is acknowledged already."""


ProducerFactory = Callable[[], FrameProducer]
"""Connects. Raises: TransientError when the broker is away, SetupError when it refuses us for good."""


def is_too_large_for_broker(failure: BaseException) -> bool:
    """Whether the broker refuses this one record for its size, and no retry helps."""
    return isinstance(failure, MessageSizeTooLargeError | RecordListTooLargeError)


class KafkaFrameProducer:
    """`FrameProducer` on kafka-python 3.

    The library's own delivery timeout is set to 24 days: a frame is never dropped by a clock, and since an
    idempotent producer keeps one batch of a partition in flight, nothing overtakes it. What is not acknowledged
    is ours to count, to spool and to send again.

    Args:
        client_options: kafka-python's names: bootstrap_servers, security_protocol, ...
        topic: where every record goes.
        linger_ms: how long a batch waits for company.
    Raises: TransientError; SetupError.
    """

    def __init__(self, client_options: Mapping[str, Any], topic: str, linger_ms: int = DEFAULT_LINGER_MS) -> None:
        self._topic = topic
        servers = bootstrap_servers(client_options)
        reach(servers)
        try:
            self._producer = KafkaProducer(
                **client_options,
                proxy_url=DIRECT,
                acks="all",
                enable_idempotence=True,
                compression_type=None,
                batch_size=BATCH_BYTES,
                linger_ms=linger_ms,
                max_request_size=MAX_MESSAGE_BYTES,
                delivery_timeout_ms=_FOR_EVER_MS,
                request_timeout_ms=15_000,
                reconnect_backoff_max_ms=1_000,
                max_block_ms=5_000,
                bootstrap_timeout_ms=5_000,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        except (SaslAuthenticationFailedError, AuthorizationError, UnsupportedVersionError) as exc:
            raise SetupError(f"the broker at {','.join(servers)} refuses this camera: {exc}") from exc
        except (KafkaError, OSError) as exc:
            raise TransientError(f"the broker at {','.join(servers)} does not answer: {exc}") from exc
        self._check_topic(",".join(servers))

    def send(self, record: SpoolRecord, on_acknowledged: OnAcknowledged, on_failed: OnFailed) -> None:
        """Hand `record` to the library. Raises: KafkaError when it refuses at once."""
        future = self._producer.send(
            self._topic, value=record.value, key=record.key, headers=cast(Any, list(record.headers))
        )
        future.add_callback(lambda _metadata: on_acknowledged())
        future.add_errback(on_failed)

    def abandon(self) -> None:
        """Stop the library's thread.

        `KafkaProducer.close` raises while batches are unsent, and leaves its thread sending them: behind the
        back of the next producer, out of order. `force_close` of its sender is what ends it (kafka-python 3.0).
        """
        self._producer._sender.force_close()
        threading.Thread(target=self._bury, name="frame-producer-end", daemon=True).start()

    def _bury(self) -> None:
        """Let go of an abandoned producer once its thread has ended, which may be the one that abandons it."""
        self._producer._sender.join(_BURIAL_S)
        with contextlib.suppress(KafkaError):
            self._producer.close(timeout=0)

    def close(self) -> None:
        """Flush and end; gives up, and abandons, after two seconds."""
        with contextlib.suppress(KafkaTimeoutError):
            self._producer.close(timeout=2.0)
            return
        self.abandon()

    def _check_topic(self, servers: str) -> None:
        try:
            self._producer.partitions_for(self._topic)
        except AuthorizationError as exc:
            self.close()
            raise SetupError(f"the broker at {servers} lets this camera not write to {self._topic}: {exc}") from exc
        except KafkaError as exc:
            self.close()
            raise TransientError(
                f"the broker at {servers} has no topic {self._topic!r} yet: start the line (sightline up) or create it"
            ) from exc

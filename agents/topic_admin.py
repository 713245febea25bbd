"""Topics: created explicitly, and checked before anything is consumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from agents.broker_address import bootstrap_servers, reach
from schemas.errors import SetupError, TransientError
from schemas.topics import TopicSpec

_SIZE = "max.message.bytes"
_CONNECT_MS = 5_000
_REQUEST_MS = 15_000


@dataclass(frozen=True, slots=True)
class Replication:
    """Copies of each partition, and how many must have a record before it counts as sent."""

    factor: int
    min_insync: int


class BrokerAccess(Protocol):
    """How to reach the broker, and how many copies it shall keep."""

    def client_options(self) -> Mapping[str, Any]:
        """kafka-python's keyword arguments: bootstrap servers and security."""

    def replication(self) -> Replication: ...


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker has it."""

    name: str
    partitions: int
    max_message_bytes: int


def ensure_topics(access: BrokerAccess, specs: Sequence[TopicSpec]) -> tuple[str, ...]:
    """Create the topics of `specs` that do not exist, then check all of them.

    Times on the topics are the broker's (LogAppendTime): a camera whose clock is in 1970 or in 2050 must neither
    have its frames expire at once nor be refused.

    Returns: the names of those created.
    Raises: SetupError when the broker refuses, or an existing topic is too small; TransientError when it is away.
    """
    with _admin(access) as admin:
        present = {state.name for state in _states(admin, specs)}
        missing = [spec for spec in specs if spec.name not in present]
        if missing:
            _create(admin, missing, access.replication())
        _refuse_wrong(_states(admin, specs), specs)
    return tuple(spec.name for spec in missing)


def check_topics(access: BrokerAccess, specs: Sequence[TopicSpec]) -> None:
    """Raise unless every topic of `specs` exists with enough partitions and room for the largest message.

    A worker that subscribed to a missing topic would idle for ever with one warning.

    Raises: SetupError naming each topic at fault and the remedy; TransientError when the broker is away.
    """
    with _admin(access) as admin:
        _refuse_wrong(_states(admin, specs), specs)


def topic_states(access: BrokerAccess, specs: Sequence[TopicSpec]) -> tuple[TopicState, ...]:
    """Those topics of `specs` that exist, as the broker has them. Raises: SetupError, TransientError."""
    with _admin(access) as admin:
        return _states(admin, specs)


@dataclass(frozen=True, slots=True)
class BrokerState:
    """The cluster as it is."""

    n_brokers: int
    max_message_bytes: int


def broker_state(access: BrokerAccess) -> BrokerState:
    """How many brokers there are, and the largest message the first takes. Raises: SetupError, TransientError."""
    from kafka.admin import ConfigResource, ConfigResourceType

    with _admin(access) as admin:
        brokers = admin.describe_cluster()["brokers"]
        node = str(brokers[0]["broker_id"])
        wanted = [ConfigResource(ConfigResourceType.BROKER, node, ["message.max.bytes"])]
        configs = admin.describe_configs(wanted, config_filter="all")["broker"]
        return BrokerState(len(brokers), int(configs[node]["message.max.bytes"]["value"]))


def faults(states: Sequence[TopicState], specs: Sequence[TopicSpec]) -> list[str]:
    """One sentence, with its remedy, for each topic of `specs` that is missing or too small in `states`."""
    by_name = {state.name: state for state in states}
    found = []
    for spec in specs:
        state = by_name.get(spec.name)
        if state is None:
            found.append(
                f"topic {spec.name} does not exist: `sightline up` creates it; elsewhere create it with "
                f"{spec.partitions} partitions and {_SIZE}={spec.max_message_bytes}"
            )
            continue
        if state.partitions < spec.partitions:
            found.append(
                f"topic {spec.name} has {state.partitions} partitions, {spec.partitions} are wanted: set partitions to "
                f"{state.partitions}, or (order within a station breaks once) run `kafka-topics.sh --alter --topic "
                f"{spec.name} --partitions {spec.partitions}` while no camera sends"
            )
        if state.max_message_bytes < spec.max_message_bytes:
            found.append(
                f"topic {spec.name} has {_SIZE}={state.max_message_bytes}, {spec.max_message_bytes} is wanted: run "
                f"`kafka-configs.sh --alter --entity-type topics --entity-name {spec.name} --add-config "
                f"{_SIZE}={spec.max_message_bytes}`"
            )
    return found


def _refuse_wrong(states: Sequence[TopicState], specs: Sequence[TopicSpec]) -> None:
    found = faults(states, specs)
    if found:
        raise SetupError("\n".join(found))


@contextmanager
def _admin(access: BrokerAccess) -> Iterator[Any]:
    """A kafka-python admin client; its errors become ours."""
    from kafka import KafkaAdminClient
    from kafka.errors import (
        AuthorizationError,
        BrokerResponseError,
        KafkaError,
        RetriableError,
        SaslAuthenticationFailedError,
    )

    options = access.client_options()
    servers = bootstrap_servers(options)
    where = ",".join(servers)
    reach(servers)
    try:
        admin = KafkaAdminClient(
            **options,
            client_id="sightline-topics",
            bootstrap_timeout_ms=_CONNECT_MS,
            request_timeout_ms=_REQUEST_MS,
        )
        try:
            yield admin
        finally:
            admin.close()
    except (SaslAuthenticationFailedError, AuthorizationError) as exc:
        raise SetupError(
            f"the broker at {where} refuses this account: {exc}; correct kafka_sasl_* or grant DESCRIBE, "
            "DESCRIBE_CONFIGS and CREATE on the topics"
        ) from exc
    except RetriableError as exc:
        raise TransientError(f"the broker at {where} does not answer: {exc}") from exc
    except BrokerResponseError as exc:
        raise SetupError(f"the broker at {where} refused: {exc}") from exc
    except (KafkaError, OSError) as exc:
        raise TransientError(f"the broker at {where} does not answer: {exc}") from exc


def _states(admin: Any, specs: Sequence[TopicSpec]) -> tuple[TopicState, ...]:
    from kafka.admin import ConfigResource, ConfigResourceType

    partitions = {
        topic["name"]: len(topic["partitions"])
        for topic in admin.describe_topics([spec.name for spec in specs])
        if topic["error_code"] == 0
    }
    if not partitions:
        return ()
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name, [_SIZE]) for name in partitions]
    configs = admin.describe_configs(wanted, config_filter="all")["topic"]
    return tuple(TopicState(name, n, int(configs[name][_SIZE]["value"])) for name, n in partitions.items())


def _create(admin: Any, specs: Sequence[TopicSpec], replication: Replication) -> None:
    from kafka.errors import InvalidReplicationFactorError, KafkaTimeoutError, TopicAlreadyExistsError

    wanted = {
        spec.name: {
            "num_partitions": spec.partitions,
            "replication_factor": replication.factor,
            "configs": {
                _SIZE: str(spec.max_message_bytes),
                "retention.ms": str(spec.retention_ms),
                "min.insync.replicas": str(replication.min_insync),
                "message.timestamp.type": "LogAppendTime",
            },
        }
        for spec in specs
    }
    try:
        admin.create_topics(wanted)
    except TopicAlreadyExistsError:
        pass  # another starter was quicker; the check that follows sees what it made
    except InvalidReplicationFactorError as exc:
        raise SetupError(
            f"topics cannot have {replication.factor} copies: the cluster has fewer brokers; start them, or set "
            "replication_factor = 1 and min_insync_replicas = 1"
        ) from exc
    try:
        admin.wait_for_topics(list(wanted))
    except KafkaTimeoutError as exc:
        raise TransientError(f"topics {', '.join(wanted)} got no leader yet: {exc}") from exc

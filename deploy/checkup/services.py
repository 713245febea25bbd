"""The services of a line: broker, topics, database, migration, clocks, stores."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from agents.broker_address import bootstrap_servers, reach
from agents.topic_admin import broker_state, faults, topic_states
from deploy.checkup.finding import Finding, Status
from deploy.embedded.running import RunningService, running_kafka, running_postgres
from deploy.settings import Settings, redacted_url
from schemas.errors import SetupError, SightlineError
from schemas.topics import MAX_DEAD_LETTER_BYTES, Topics

_SKEW_S = 1.0
_EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)


def check_kafka(settings: Settings) -> list[Finding]:
    """The broker and its topics."""
    settings, origin = _located(settings, "kafka_url", running_kafka(settings.state_dir))
    if not settings.kafka_url:
        return [_not_running("broker", settings)]
    started = time.monotonic()
    try:
        reach(bootstrap_servers(settings.client_options()))
        broker = broker_state(settings)
        latency_ms = (time.monotonic() - started) * 1000
        specs = Topics(settings.topic_prefix).specs(settings.partitions)
        wrong = faults(topic_states(settings, specs), specs)
    except SightlineError as exc:
        return [Finding("services", "broker", _status_of(exc), str(exc), "start it, or correct kafka_url")]
    nodes = f"{broker.n_brokers} broker{'s' if broker.n_brokers > 1 else ''}"
    findings = [
        Finding("services", "broker", Status.FINE, f"{settings.kafka_url} ({origin}), {nodes}, {latency_ms:.0f} ms")
    ]
    if broker.max_message_bytes < MAX_DEAD_LETTER_BYTES:
        text = f"message.max.bytes is {broker.max_message_bytes}, {MAX_DEAD_LETTER_BYTES} is wanted"
        remedy = "topics made by Sightline set their own max.message.bytes, which wins"
        findings.append(Finding("services", "broker limit", Status.NOTE, text, remedy))
    if wrong:
        return findings + [Finding("services", "topics", Status.WRONG, *_split(fault)) for fault in wrong]
    return [*findings, Finding("services", "topics", Status.FINE, f"{len(specs)} topics {settings.topic_prefix}*")]


def check_postgres(settings: Settings) -> list[Finding]:
    """The database, its migration, and its clock against ours."""
    try:
        settings, origin = _located(settings, "postgres_url", running_postgres(settings.state_dir))
    except PermissionError as exc:
        return [Finding("services", "database", Status.WRONG, f"{exc}", "run as the account that started the line")]
    if not settings.postgres_url:
        return [_not_running("database", settings)]
    from agents.database import connect
    from deploy.migrate import current, head

    started = time.monotonic()
    try:
        with connect(settings.postgres_url, application="sightline doctor") as connection:
            row = connection.execute("SELECT version(), clock_timestamp(), current_user").fetchone()
            here = datetime.now(UTC)
        latency_ms = (time.monotonic() - started) * 1000
        revision, wanted = current(settings.postgres_url), head()
    except SightlineError as exc:
        return [Finding("services", "database", _status_of(exc), str(exc), "start it, or correct postgres_url")]
    if row is None:
        raise AssertionError("a SELECT without FROM has one row")
    where = f"{redacted_url(settings.postgres_url)} ({origin})"
    return [
        Finding("services", "database", Status.FINE, f"{where}, {str(row[0]).split(' on ')[0]}, {latency_ms:.0f} ms"),
        _migration(revision, wanted),
        _skew(row[1], here),
    ]


def check_clock(now: datetime) -> Finding:
    """Whether this machine's clock can be right at all."""
    text = f"{now.isoformat(timespec='seconds')} here"
    if now < _EARLIEST:
        return Finding("services", "clock", Status.WRONG, text, "set the clock, or let NTP or PTP set it")
    return Finding("services", "clock", Status.FINE, text)


def check_stores(settings: Settings) -> list[Finding]:
    """Whether the evidence and bundle stores can be reached."""
    import fsspec

    findings = []
    for name in ("evidence_url", "bundles_url"):
        url = str(getattr(settings, name))
        try:
            filesystem, path = fsspec.core.url_to_fs(url)
            known = "exists" if filesystem.exists(path) else "will be made"
        except (ImportError, OSError, ValueError) as exc:
            remedy = f"correct {name}; s3:// needs pip install 'sightline[s3]' and credentials"
            findings.append(Finding("services", name, Status.WRONG, f"{redacted_url(url)}: {exc}", remedy))
        else:
            findings.append(Finding("services", name, Status.FINE, f"{redacted_url(url)} ({known})"))
    return findings


def _migration(revision: str | None, wanted: str) -> Finding:
    if revision == wanted:
        return Finding("services", "migration", Status.FINE, f"at revision {revision}")
    text = f"the database is at revision {revision or 'none'}, this version needs {wanted}"
    return Finding("services", "migration", Status.WRONG, text, "run `sightline migrate` (`sightline up` does it too)")


def _skew(there: datetime, here: datetime) -> Finding:
    skew_s = (there - here).total_seconds()
    text = f"the database's clock is {abs(skew_s):.2f} s {'ahead of' if skew_s >= 0 else 'behind'} ours"
    if abs(skew_s) <= _SKEW_S:
        return Finding("services", "clocks", Status.FINE, text)
    return Finding("services", "clocks", Status.WRONG, text, "let NTP or PTP set both: times would not compare")


def _located(settings: Settings, name: str, running: RunningService | None) -> tuple[Settings, str]:
    if getattr(settings, name):
        return settings, "setting"
    if running is None:
        return settings, ""
    return settings.model_copy(update={name: running.url}), f"embedded, pid {running.pid}"


def _not_running(name: str, settings: Settings) -> Finding:
    text = f"embedded, not running in {settings.state_dir}"
    return Finding("services", name, Status.NOTE, text, "`sightline up` or `sightline demo` starts it")


def _status_of(error: SightlineError) -> Status:
    return Status.BROKEN if isinstance(error, SetupError) else Status.WRONG


def _split(fault: str) -> tuple[str, str]:
    detail, _, remedy = fault.partition(": ")
    return detail, remedy

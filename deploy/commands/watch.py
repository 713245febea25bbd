"""`sightline watch`: verdicts and alerts as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.options import KafkaOption, SinceOption, StateOption, StationOption

if TYPE_CHECKING:
    from agents.tail import Seen
    from schemas.topics import Topics


def watch(
    kafka: KafkaOption = None,
    state: StateOption = None,
    station: StationOption = None,
    outcome: Annotated[
        list[str] | None, typer.Option(help="Only these outcomes: pass, fail, review, uninspected (repeatable).")
    ] = None,
    alerts_only: Annotated[bool, typer.Option("--alerts", help="Alerts alone.")] = False,
    since: SinceOption = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many lines.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after so long.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The records as they are on the topics, one a line.")] = False,
) -> None:
    """Follow the verdicts and alerts of a line in the terminal until Ctrl-C.

    Reads the topics without a consumer group, so nothing is taken from any agent. A verdict delivered twice on the
    topic (after a crash) is shown once. Exit: 0 stopped, 1 the broker is away, 2 set-up is wrong.

    Try: sightline watch --outcome fail --outcome review
    """
    import time
    from datetime import UTC, datetime

    from agents.tail import Tail
    from deploy.addresses import with_kafka
    from deploy.kafka_clients import kafka_python_options
    from deploy.moments import parse_moment
    from deploy.options import settings_of
    from schemas.topics import Topics

    settings = with_kafka(settings_of(kafka=kafka, state=state))
    topics = Topics(settings.topic_prefix)
    names = [topics.alerts] if alerts_only else [topics.verdicts, topics.alerts]
    begin = parse_moment(since, datetime.now(UTC)) if since else None
    show = _printer(topics, station.removeprefix("/") if station else None, _outcomes(outcome or []), as_json=json)
    end = time.monotonic() + seconds if seconds is not None else None
    n_shown = 0
    try:
        with Tail(kafka_python_options(settings), names, begin) as tail:
            while (end is None or time.monotonic() < end) and (count is None or n_shown < count):
                for seen in tail.poll():
                    n_shown += show(seen)
                    if n_shown == count:
                        break
    except KeyboardInterrupt:
        return


def _outcomes(names: list[str]) -> set[str]:
    from schemas.errors import InputError
    from schemas.verdict import Outcome

    if unknown := sorted(set(names) - set(Outcome)):
        raise InputError(f"there is no outcome {unknown[0]!r}; there are {', '.join(Outcome)}")
    return set(names)


def _printer(topics: Topics, station: str | None, outcomes: set[str], *, as_json: bool) -> Callable[[Seen], bool]:
    """A function that prints a record, or leaves it out, and says whether it printed it."""
    from rich.console import Console

    from deploy.verdict_lines import alert_line, verdict_line
    from schemas.alert import Alert, decode_alert
    from schemas.recent import Recent
    from schemas.verdict import decode_verdict

    console = Console(soft_wrap=True)
    recent = Recent(100_000)

    def show(seen: Seen) -> bool:
        value = seen.value or b""
        try:
            record = decode_alert(value) if seen.topic == topics.alerts else decode_verdict(value)
        except ValueError as exc:
            console.print(f"a record of {seen.topic} is not one: {str(exc).splitlines()[0]}", style="red")
            return False
        if station is not None and record.station != station:
            return False
        if isinstance(record, Alert):
            identity, line = f"{record.alert_id}:{record.state}", alert_line(record)
        elif outcomes and record.outcome not in outcomes:
            return False
        else:
            identity, line = record.verdict_id, verdict_line(record)
        if not recent.is_new(identity):
            return False
        if as_json:
            print(value.decode(), flush=True)
        else:
            console.print(line)
        return True

    return show

"""`sightline dead-letters`: what was refused, why, and again after a fix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.options import KafkaOption, PostgresOption, SinceOption, StateOption, StationOption

if TYPE_CHECKING:
    from agents.records.dead_letter_reading import LetterSummary
    from schemas.deadletter import DeadLetter

app = typer.Typer(
    no_args_is_help=True,
    help="Records that were refused: list them, look at one, send them again after a fix. Reasons: docs/errors.md.",
)

_Reason = Annotated[str | None, typer.Option(help="Only this reason, such as corrupt_picture.")]
_Json = Annotated[bool, typer.Option("--json", help="A JSON object a dead letter.")]


@app.command("list")
def list_letters(
    reason: _Reason = None,
    station: StationOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows shown.")] = 50,
    waiting: Annotated[bool, typer.Option("--waiting", help="Leave out those that were sent again.")] = False,
    postgres: PostgresOption = None,
    state: StateOption = None,
    json: _Json = False,
) -> None:
    """List refused records, newest first. Exit 0, also when there is none.

    Try: sightline dead-letters list --reason corrupt_picture --since 24h
    """
    from agents.records.dead_letter_reading import list_dead_letters
    from deploy.options import open_database, settings_of
    from deploy.tables_shown import console_for, print_json_lines, table_of

    begin = _moment(since)
    with open_database(settings_of(postgres=postgres, state=state)) as conn:
        found = list_dead_letters(
            conn, reason=reason, station=_key(station), since=begin, limit=limit, waiting_only=waiting
        )
    rows = [_row(letter) for letter in found]
    if json:
        print_json_lines(rows)
    elif not rows:
        print("no dead letters")
    else:
        columns = ["id", "reason", "station", "at", "size_bytes", "n_replays", "detail"]
        console_for(len(columns)).print(table_of("dead letters", columns, rows))


@app.command("show")
def show_letter(
    letter: Annotated[str, typer.Argument(help="topic/partition/offset, as `list` shows it.")],
    save: Annotated[Path | None, typer.Option(help="Write the original bytes to this file.")] = None,
    postgres: PostgresOption = None,
    state: StateOption = None,
    json: _Json = False,
) -> None:
    """Show one refused record: reason, headers, first bytes; --save writes the original bytes to a file.

    Exit: 0 shown, 1 there is none or its bytes are gone.
    """
    from agents.records.dead_letter_reading import load_dead_letter, parse_letter_id
    from deploy.options import open_database, settings_of

    letter_id = parse_letter_id(letter)
    with open_database(settings_of(postgres=postgres, state=state)) as conn:
        found = load_dead_letter(conn, letter_id)
    if save is not None:
        _write(save, found.value or b"")
    _show(str(letter_id), found, as_json=json)


@app.command("replay")
def replay_letters(
    letters: Annotated[
        list[str] | None, typer.Argument(help="topic/partition/offset of each, as `list` shows.")
    ] = None,
    reason: _Reason = None,
    station: StationOption = None,
    since: SinceOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were never sent again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    kafka: KafkaOption = None,
    postgres: PostgresOption = None,
    state: StateOption = None,
    json: _Json = False,
) -> None:
    """Send refused records to their original topic again: same key, bytes and headers, acks=all.

    Name some, or choose by --reason, --station, --since, or --all; chosen this way, those sent again before are left
    out. A record that is refused again becomes a new dead letter. Exit: 0 all sent, 1 one could not be, 2 set-up is
    wrong.

    Try: sightline dead-letters replay --reason engine_fault --dry-run
    """
    from agents.records.dead_letter_reading import list_dead_letters, parse_letter_id
    from deploy.options import open_database, settings_of
    from deploy.replaying import replay
    from schemas.errors import InputError

    named = [parse_letter_id(text) for text in letters or []]
    chosen = bool(reason or station or since or everything)
    if bool(named) == chosen:
        raise InputError("name the dead letters to replay, or choose them by --reason, --station, --since or --all")
    settings = settings_of(kafka=kafka, postgres=postgres, state=state)
    with open_database(settings) as conn:
        found = named or [
            letter.letter_id
            for letter in reversed(
                list_dead_letters(conn, reason=reason, station=_key(station), since=_moment(since), waiting_only=True)
            )
        ]
        n_failed = replay(settings, conn, found, dry_run=dry_run, as_json=json)
    if n_failed:
        raise typer.Exit(1)


def _moment(text: str | None) -> Any:
    from datetime import UTC, datetime

    from deploy.moments import parse_moment

    return parse_moment(text, datetime.now(UTC)) if text else None


def _key(station: str | None) -> str | None:
    return station.removeprefix("/") if station else None


def _row(letter: LetterSummary) -> dict[str, Any]:
    return {
        "id": str(letter.letter_id),
        "reason": letter.reason,
        "detail": letter.detail,
        "station": None if letter.key is None else letter.key.decode("utf-8", "replace"),
        "at": letter.at,
        "size_bytes": letter.size_bytes,
        "n_replays": letter.n_replays,
        "replayed_at": letter.replayed_at,
    }


def _show(letter_id: str, letter: DeadLetter, *, as_json: bool) -> None:
    import base64
    import json

    from schemas.times import format_rfc3339

    value = letter.value or b""
    headers = [[name, None if raw is None else raw.decode("utf-8", "backslashreplace")] for name, raw in letter.headers]
    key = None if letter.key is None else letter.key.decode("utf-8", "backslashreplace")
    record = {"id": letter_id, "reason": letter.reason, "detail": letter.detail, "at": format_rfc3339(letter.at)}
    if as_json:
        more = {"key": key, "headers": headers, "value_base64": base64.b64encode(value).decode()}
        print(json.dumps(record | more, ensure_ascii=False))
        return
    for name, text in [*record.items(), ("key", key), *((f"header {name}", text) for name, text in headers)]:
        print(f"{name:<24} {'(null)' if text is None else text}")
    print(f"{'value':<24} {len(value)} bytes, beginning {value[:16].hex(' ')}")
    print(f"see docs/errors.md#{letter.reason}")


def _write(path: Path, value: bytes) -> None:
    from schemas.errors import InputError

    try:
        path.write_bytes(value)
    except OSError as exc:
        raise InputError(f"{path} cannot be written: {exc.strerror}") from exc

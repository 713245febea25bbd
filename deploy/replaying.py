"""A replay from start to end: load, publish, mark, one dead letter after the other, with progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from agents.database import Connection
from agents.records.dead_letter_reading import LetterId, load_dead_letter, mark_replayed
from agents.replay import Replayer
from deploy.addresses import with_kafka
from deploy.commands.progress import ConsoleProgress
from deploy.kafka_clients import aiokafka_options
from deploy.settings import Settings
from schemas.errors import InputError


def replay(
    settings: Settings, conn: Connection, letters: Sequence[LetterId], *, dry_run: bool = False, as_json: bool = False
) -> int:
    """Send `letters` again in order and mark each as soon as the broker has it; returns how many could not be sent.

    Killed in between, at most the last one is sent again unmarked. Raises: SetupError, TransientError.
    """
    say = _say_json if as_json else _say
    if dry_run or not letters:
        for letter_id in letters:
            say(letter_id, "would be sent", None)
        _sum_up(f"{len(letters)} would be sent" if letters else "nothing to replay")
        return 0
    n_failed = 0
    with Replayer(aiokafka_options(with_kafka(settings))) as replayer, ConsoleProgress() as progress:
        for n_done, letter_id in enumerate(letters, 1):
            n_failed += not _replay_one(replayer, conn, letter_id, say)
            progress("replay", n_done, len(letters))
    _sum_up(f"{len(letters) - n_failed} sent again, {n_failed} not")
    return n_failed


_Say = Callable[[LetterId, str, str | None], None]


def _replay_one(replayer: Replayer, conn: Connection, letter_id: LetterId, say: _Say) -> bool:
    try:
        letter = load_dead_letter(conn, letter_id)
        topic, partition, offset = replayer.send(letter)
    except InputError as error:
        say(letter_id, "not sent", str(error))
        return False
    mark_replayed(conn, letter_id, datetime.now(UTC))
    conn.commit()
    say(letter_id, "sent", f"{topic}/{partition}/{offset}")
    return True


def _say(letter_id: LetterId, what: str, more: str | None) -> None:
    print(f"{letter_id} {what}" + (f": {more}" if more else ""))


def _say_json(letter_id: LetterId, what: str, more: str | None) -> None:
    print(json.dumps({"id": str(letter_id), "result": what, "detail": more}), flush=True)


def _sum_up(sentence: str) -> None:
    print(f"dead-letters: {sentence}", file=sys.stderr)

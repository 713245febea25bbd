"""`sightline review`: a person's answer to a verdict."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.options import PostgresOption, StateOption


def review(
    verdict: Annotated[str, typer.Argument(help="verdict_id, as `history unit-history` and the topics show it.")],
    answer: Annotated[
        str, typer.Argument(help="confirmed: it was right. false_call: the part is good. escape: the part is bad.")
    ],
    why: Annotated[str, typer.Option(help="What was seen on the part.")],
    who: Annotated[str | None, typer.Option(help="Who answers; else the account on this machine.")] = None,
    postgres: PostgresOption = None,
    state: StateOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was recorded as JSON.")] = False,
) -> None:
    """Record whether a verdict was right; `sightline history overkill` counts the answers by recipe revision.

    false_call answers a fail or a review, escape a pass, confirmed any verdict. Every answer is kept, the newest one
    counts. Exit: 0 recorded, 1 there is no such verdict or the answer does not fit it.

    Try: sightline review 3f2a... false_call --who Mia --why "dust, gone after wiping"
    """
    import getpass
    from datetime import UTC, datetime

    from agents.records.reviews import Answer, record_review
    from deploy.options import open_database, settings_of
    from schemas.errors import InputError

    if answer not in set(Answer):
        raise InputError(f"there is no answer {answer!r}; there are {', '.join(Answer)}")
    person = who or getpass.getuser()
    with open_database(settings_of(postgres=postgres, state=state)) as conn:
        reviewed = record_review(conn, verdict, Answer(answer), who=person, why=why, at=datetime.now(UTC))
    if json:
        import dataclasses
        import json as json_codec

        print(json_codec.dumps({**dataclasses.asdict(reviewed), "answer": answer, "who": person, "why": why}))
    else:
        print(
            f"{reviewed.outcome} on {reviewed.unit_id or reviewed.frame_id} at {reviewed.station}: {answer} by {person}"
        )

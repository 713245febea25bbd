"""`sightline doctor`: look at everything a line needs, and say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.options import KafkaOption, PostgresOption, StateOption

if TYPE_CHECKING:
    from deploy.checkup.finding import Finding
    from deploy.settings import Settings
    from deploy.settings_sources import SettingsInForce

_MARKS = {"fine": "ok", "note": "--", "wrong": "NO", "broken": "NO"}


def doctor(
    kafka: KafkaOption = None,
    postgres: PostgresOption = None,
    state: StateOption = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Only what is not fine, and no settings.")] = False,
) -> None:
    """Look at every dependency, device, broker, database, topic, migration, clock, disk and setting.

    Each line is fine (ok), worth knowing (--) or wrong (NO), with what to do. Nothing is changed or started.

    Exit: 0 a line can run, 1 something it needs is away, full or behind, 2 the installation or a setting is wrong.
    """
    from deploy.checkup.finding import exit_code
    from deploy.checkup.run import examine

    overrides = {"kafka_url": kafka, "postgres_url": postgres, "state_dir": state}
    findings, in_force = examine({name: value for name, value in overrides.items() if value is not None})
    if json:
        print(_as_json(findings, in_force))
    else:
        _print(findings, in_force, brief)
    raise typer.Exit(exit_code(findings))


def _as_json(findings: list[Finding], in_force: SettingsInForce[Settings] | None) -> str:
    import json
    from dataclasses import asdict

    from deploy.checkup.finding import exit_code

    document = {
        "exit_code": exit_code(findings),
        "findings": [asdict(finding) for finding in findings],
        "settings": [
            {"name": name, "value": value, "origin": origin} for name, value, origin in _settings_rows(in_force)
        ],
    }
    return json.dumps(document, ensure_ascii=False)


def _print(findings: list[Finding], in_force: SettingsInForce[Settings] | None, brief: bool) -> None:
    area = ""
    for finding in findings:
        if brief and finding.status == "fine":
            continue
        if finding.area != area:
            area = finding.area
            print(f"\n{area}")
        print(f"  {_MARKS[finding.status]}  {finding.name:24} {finding.detail}")
        if finding.remedy:
            print(f"      {'':24} -> {finding.remedy}")
    if not brief and in_force is not None:
        print(f"\nsettings (file: {in_force.file or 'none'})")
        for name, value, origin in _settings_rows(in_force):
            print(f"      {name:30} {value or '(empty)':40} {origin}")
    n_wrong = sum(finding.status in ("wrong", "broken") for finding in findings)
    print(f"\n{n_wrong} to put right" if n_wrong else "\nall fine: a line can run")


def _settings_rows(in_force: SettingsInForce[Settings] | None) -> list[tuple[str, str, str]]:
    from deploy.settings import shown

    if in_force is None:
        return []
    return [(name, shown(name, value), in_force.origins[name]) for name, value in in_force.settings]

"""All checks, in the order a person would make them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from deploy.checkup.finding import Finding, Status
from deploy.checkup.packages import check_packages, check_python
from deploy.settings import Settings, settings_in_force
from deploy.settings_sources import SettingsInForce
from schemas.errors import SetupError


def examine(overrides: Mapping[str, object]) -> tuple[list[Finding], SettingsInForce[Settings] | None]:
    """Everything that was found, and the settings in force (None when they are refused)."""
    findings = [check_python(), *check_packages()]
    try:
        in_force = settings_in_force(os.environ, Path.cwd(), overrides)
    except SetupError as exc:
        return [*findings, Finding("settings", "settings", Status.BROKEN, str(exc), "correct it")], None
    findings.append(Finding("settings", "settings", Status.FINE, f"{len(in_force.origins)} settings, all valid"))
    if any(finding.status is Status.BROKEN for finding in findings):
        return findings, in_force
    return [*findings, *_look_around(in_force.settings)], in_force


def _look_around(settings: Settings) -> list[Finding]:
    """The checks that need the packages they use."""
    from deploy.checkup.machine import check_devices, check_embedded_programs, check_machine, check_state_dir
    from deploy.checkup.services import check_clock, check_kafka, check_postgres, check_stores

    return [
        *check_machine(),
        *check_state_dir(settings),
        *check_devices(),
        *check_embedded_programs(),
        *check_kafka(settings),
        *check_postgres(settings),
        check_clock(datetime.now(UTC)),
        *check_stores(settings),
    ]

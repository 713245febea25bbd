from __future__ import annotations

import inspect
import re
from enum import StrEnum
from pathlib import Path

import pytest

import schemas.errors
import schemas.verdict
from schemas.errors import SightlineError
from tests.docs.sql_page import PAGE

TEXT = PAGE.with_name("errors.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
ROWS = re.findall(r"^\| `([a-z_]+)` \|", TEXT, re.MULTILINE)
ENUMS = [
    member
    for module in (schemas.errors, schemas.verdict)
    for _, enum in inspect.getmembers(module, inspect.isclass)
    if issubclass(enum, StrEnum) and enum.__module__ == module.__name__
    for member in enum
]
ERRORS = [
    name for name, error in inspect.getmembers(schemas.errors, inspect.isclass) if issubclass(error, SightlineError)
]


def anchor(heading: str) -> str:
    """The name a heading has in links, as GitHub makes it."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("member", ENUMS, ids=lambda member: f"{type(member).__name__}.{member.name}")
def test_every_outcome_reason_and_status_is_explained(member: StrEnum) -> None:
    explained = HEADINGS if type(member).__name__.endswith("Reason") else ROWS
    assert member.value in explained


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_has_its_section(name: str) -> None:
    assert name in HEADINGS


def test_every_link_leads_somewhere() -> None:
    anchors = {anchor(heading) for heading in HEADINGS}
    for target in re.findall(r"\]\(#([^)]+)\)", TEXT):
        assert target in anchors
    for page in re.findall(r"\]\(([a-z]+\.md)\)", TEXT):
        assert (Path(PAGE).parent / page).exists()

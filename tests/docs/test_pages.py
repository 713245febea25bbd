"""What the pages point at exists: files, folders, commands, options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from deploy.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
ROOMS = "schemas|engines|pipeline|agents|deploy|benchmarks|tests"


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_to_a_file_leads_to_one(page: Path):
    shown = re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", shown)
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_path_of_a_room_that_is_named_exists(page: Path):
    named = re.findall(rf"`((?:{ROOMS})/[a-z0-9_/]+(?:\.py)?)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_line_names_a_command_and_options_that_exist(page: Path):
    for line in command_lines(page.read_text()):
        words = [word for word in shlex.split(line, comments=True) if word != "\\"]
        command, rest = resolved(words[1:])
        if not any(word[0] in "<[>|&" or "..." in word for word in rest):
            context = command.context_class(command, resilient_parsing=True)
            command.make_parser(context).parse_args(rest)


def command_lines(text: str) -> list[str]:
    """The lines of shell blocks that begin with `sightline`."""
    blocks = re.findall(r"```(?:sh|console|shell|bash)?\n(.*?)```", text, re.DOTALL)
    joined = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in joined if line.startswith("sightline ")]


def resolved(words: list[str]) -> tuple[Any, list[str]]:
    """The command `words` begin with, sub-commands followed, and the words after its name."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def test_a_command_line_that_does_not_exist_is_noticed():
    with pytest.raises(AssertionError, match="no command 'photograph'"):
        resolved(["photograph"])
    command, rest = resolved(["camera", "--nonsense"])
    with pytest.raises(Exception, match="nonsense"):
        command.make_parser(command.context_class(command)).parse_args(rest)

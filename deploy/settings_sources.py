"""Where settings come from, and how a bad one is told to a person."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from schemas.errors import SetupError

ENVIRONMENT_PREFIX = "SIGHTLINE_"
CONFIG_VARIABLE = "SIGHTLINE_CONFIG"
CONFIG_FILE = "sightline.toml"
NOT_SETTINGS = (
    CONFIG_VARIABLE,
    "SIGHTLINE_CACHE",
    "SIGHTLINE_DATA",
    "SIGHTLINE_WEIGHTS",
    "SIGHTLINE_BENCH_FOLDER",
    "SIGHTLINE_MAVEN_URL",
)
"""Variables with our prefix that say where things are, before any setting is read."""
DEFAULT = "default"
COMMAND_LINE = "command line"

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Found:
    """Raw values by setting, and for each where it was found; `file` is the settings file, if any."""

    values: Mapping[str, object]
    origins: Mapping[str, str]
    file: Path | None


@dataclass(frozen=True, slots=True)
class SettingsInForce(Generic[Model]):
    """Checked settings and the origin of each: default, a file, an environment variable or the command line."""

    settings: Model
    origins: Mapping[str, str]
    file: Path | None


def gather(model: type[BaseModel], environ: Mapping[str, str], folder: Path, overrides: Mapping[str, object]) -> Found:
    """The raw value of every setting that is given anywhere; later sources win.

    Raises: SetupError for an unknown key or an unreadable file.
    """
    file = _config_file(environ, folder)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    known = list(model.model_fields)
    for key, value in _read_toml(file).items() if file is not None else ():
        _refuse_unknown(key, known, f"{file}", key)
        values[key], origins[key] = value, str(file)
    for variable, text in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in NOT_SETTINGS:
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        _refuse_unknown(key, known, "the environment", variable)
        values[key], origins[key] = _parse_text(text), variable
    for key, value in overrides.items():
        _refuse_unknown(key, known, COMMAND_LINE, key)
        values[key], origins[key] = value, COMMAND_LINE
    return Found(values, origins, file)


def validate(model: type[Model], found: Found) -> SettingsInForce[Model]:
    """The checked settings. Raises: SetupError listing every bad value, its origin and what is allowed."""
    try:
        settings = model.model_validate(dict(found.values))
    except ValidationError as exc:
        raise SetupError("; ".join(_explain(model, found, error) for error in exc.errors())) from None
    origins = {name: found.origins.get(name, DEFAULT) for name in model.model_fields}
    return SettingsInForce(settings, origins, found.file)


def _config_file(environ: Mapping[str, str], folder: Path) -> Path | None:
    if named := environ.get(CONFIG_VARIABLE):
        path = Path(named).expanduser()
        if not path.is_file():
            raise SetupError(f"{CONFIG_VARIABLE} names {path}, which does not exist: correct it or unset it")
        return path
    usual = folder / CONFIG_FILE
    return usual if usual.is_file() else None


def _read_toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise SetupError(f"settings file {path} cannot be read: {exc}") from exc


def _refuse_unknown(key: str, known: list[str], where: str, spelled: str) -> None:
    if key in known:
        return
    close = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {close[0]}?" if close else "`sightline doctor` lists every setting"
    raise SetupError(f"there is no setting {spelled} (in {where}): {hint}")


def _parse_text(text: str) -> object:
    """An environment variable: lists and tables are JSON, anything else is taken as it is."""
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _explain(model: type[BaseModel], found: Found, error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return f"settings do not fit together: {message}"
    name = str(error["loc"][0])
    field = model.model_fields[name]
    value = found.values.get(name, field.default)
    is_secret = field.annotation is SecretStr or name.endswith("_url")
    origin = found.origins.get(name, DEFAULT)
    given = "is not valid" if is_secret else f"is {value!r}"
    return f"setting {name} (from {origin}) {given}: {message}. Allowed: {field.description}"

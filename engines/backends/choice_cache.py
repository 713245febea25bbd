"""Which backend was chosen for a bundle on this machine, remembered so that it is measured once."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import uuid
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

log = logging.getLogger(__name__)
_LIBRARIES = ("sightline", "onnxruntime", "openvino", "tensorrt", "pycuda")


@dataclass(frozen=True, slots=True)
class ChoiceKey:
    """Everything a choice depends on."""

    bundle_sha256: str
    n_threads: int
    backends: tuple[str, ...]
    machine: str

    @classmethod
    def here(cls, bundle_sha256: str, n_threads: int, backends: tuple[str, ...]) -> Self:
        """The key on this machine, with the libraries installed now."""
        libraries = ",".join(f"{name} {_version(name)}" for name in _LIBRARIES)
        machine = f"{platform.node()} {platform.machine()} {_processor()} {os.cpu_count()} {libraries}"
        return cls(bundle_sha256, n_threads, backends, machine)

    @property
    def file_name(self) -> str:
        """A plain file name, different for every key."""
        rest = hashlib.sha256(f"{self.n_threads} {self.backends} {self.machine}".encode()).hexdigest()
        return f"{self.bundle_sha256[:16]}-{rest[:16]}.choice.json"


def recall(folder: Path, key: ChoiceKey) -> str | None:
    """The text remembered for `key`, None when there is none."""
    try:
        return (folder / key.file_name).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def remember(folder: Path, key: ChoiceKey, text: str) -> None:
    """Keep `text` for `key`. A folder that cannot be written is a warning: every start then measures."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = folder / f".{key.file_name}.{uuid.uuid4().hex}.part"
        aside.write_text(text, "utf-8")
        aside.replace(folder / key.file_name)
    except OSError as error:
        log.warning("the engine choice cannot be kept in %s and is measured again next time: %s", folder, error)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def _processor() -> str:
    """The processor's name; on Linux as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")

"""What every benchmark returns: our figure, its baseline from the same run, and the machine that made them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

Json = float | int | str | bool | None | Sequence["Json"] | Mapping[str, "Json"]

_FLAGS = ("sse4", "avx", "fma", "f16c", "bmi2", "amx", "asimd", "sve", "neon")
_PACKAGES = ("numpy", "numba", "opencv-python-headless", "onnxruntime", "openvino", "faust-streaming", "kafka-python")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a benchmark ran. `cores` are those this process may use; `flags` the vector units."""

    cpu: str
    flags: tuple[str, ...]
    cores: int
    memory_bytes: int
    system: str
    python: str
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BenchResult:
    """`ours` and `baseline` in the same unit (named in `figures["unit"]`); `ratio` above 1 means ours is better."""

    name: str
    ours: float
    baseline: float
    ratio: float
    figures: Mapping[str, Json]
    machine: Machine

    def to_json(self) -> str:
        """One line of JSON: name, ours, baseline, ratio, figures, machine."""
        return json.dumps(asdict(self))


def machine(packages: Sequence[str] = _PACKAGES) -> Machine:
    """This machine, with the versions of those `packages` that are installed."""
    cpu, flags = _cpu()
    return Machine(
        cpu, flags, _cores(), _memory_bytes(), platform.platform(), platform.python_version(), _versions(packages)
    )


def _cpu() -> tuple[str, tuple[str, ...]]:
    """Model and vector flags, from /proc/cpuinfo where there is one."""
    info = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip().lower(), value.strip())
    model = fields.get("model name") or platform.processor() or platform.machine()
    flags = fields.get("flags") or fields.get("features") or ""
    return model, tuple(sorted(flag for flag in flags.split() if flag.startswith(_FLAGS)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _memory_bytes() -> int:
    """Physical memory; 0 where the system does not say."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names:
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found

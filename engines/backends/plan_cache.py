"""Engines compiled on this machine, each beside its own sha256: a plan is native code and is checked first."""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a compiled engine depends on. `device`: name and generation of the GPU or CPU it was built on."""

    bundle_sha256: str
    backend: str
    device: str
    version: str

    @property
    def file_name(self) -> str:
        """A plain file name, different for every key."""
        rest = re.sub(r"[^A-Za-z0-9.]+", "-", f"{self.device}-{self.version}")
        return f"{self.bundle_sha256}-{self.backend}-{rest}.plan"


@dataclass(frozen=True, slots=True)
class PlanCache:
    """A folder of plans, written whole or not at all."""

    folder: Path

    def load(self, key: PlanKey) -> bytes | None:
        """The plan of `key`; None when there is none, or when its bytes do not match their sha256 (then it goes)."""
        path = self.folder / key.file_name
        digest = path.with_suffix(".plan.sha256")
        try:
            plan, expected = path.read_bytes(), digest.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        if hashlib.sha256(plan).hexdigest() == expected:
            return plan
        log.warning("compiled engine %s does not match its sha256; it is deleted and built again", path)
        path.unlink(missing_ok=True)
        digest.unlink(missing_ok=True)
        return None

    def store(self, key: PlanKey, plan: bytes) -> None:
        """Keep `plan`. A folder that cannot be written is a warning: the engine is then built at every start."""
        path = self.folder / key.file_name
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(path, plan)
            self._write(path.with_suffix(".plan.sha256"), hashlib.sha256(plan).hexdigest().encode())
        except OSError as error:
            log.warning("compiled engine %s cannot be kept and is built again next time: %s", path, error)

    def _write(self, path: Path, content: bytes) -> None:
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        aside.write_bytes(content)
        aside.chmod(0o600)
        aside.replace(path)

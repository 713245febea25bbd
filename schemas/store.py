"""Content-addressed store over fsspec: evidence, bundles and claim-checked pictures live in such stores."""

from __future__ import annotations

import hashlib
import posixpath
import uuid
from typing import Any, cast

import fsspec

from schemas.errors import DeadLetterReason, PoisonFrame, SetupError, TransientError


class ContentStore:
    """Files named by their sha256 under one root URL (`file://`, `s3://`, `memory://`, ...).

    `put` is atomic on file systems (write aside, then rename) and idempotent everywhere.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        try:
            filesystem, path = fsspec.core.url_to_fs(self.root)
        except (ImportError, ValueError) as exc:
            raise SetupError(f"store {root!r} cannot be opened: {exc}; for s3:// install 'sightline[s3]'") from exc
        self._fs = cast(Any, filesystem)
        self._path = path

    def put(self, content: bytes, suffix: str) -> str:
        """Keep `content`; return its reference ``<root>/<aa>/<sha256><suffix>``.

        Raises: TransientError when the store cannot be written now.
        """
        name = f"{hashlib.sha256(content).hexdigest()}{suffix}"
        folder = posixpath.join(self._path, name[:2])
        target = posixpath.join(folder, name)
        try:
            if not self._fs.exists(target):
                self._fs.makedirs(folder, exist_ok=True)
                aside = f"{target}.{uuid.uuid4().hex}.part"
                self._fs.pipe_file(aside, content)
                self._fs.mv(aside, target)
        except OSError as exc:
            raise TransientError(f"store {self.root} refused {name}: {exc}") from exc
        return self.ref(name.split(".", maxsplit=1)[0], suffix)

    def ref(self, sha256: str, suffix: str) -> str:
        """The reference under which content with this sha256 (hex) and suffix is kept."""
        return f"{self.root}/{sha256[:2]}/{sha256}{suffix}"

    def get(self, ref: str) -> bytes:
        """The content `ref` names, verified against the sha256 in its name.

        Raises: FileNotFoundError; TransientError; SetupError when the content does not match its name.
        """
        content = read_reference(ref)
        expected = posixpath.basename(ref).split(".")[0]
        if hashlib.sha256(content).hexdigest() != expected:
            raise SetupError(
                f"{ref} does not have the sha256 its name says: it was altered; delete it and store it again"
            )
        return content


def read_reference(ref: str) -> bytes:
    """The bytes behind any fsspec URL. Raises: FileNotFoundError; TransientError when the store is away."""
    try:
        filesystem, path = fsspec.core.url_to_fs(ref)
        return cast(bytes, cast(Any, filesystem).cat_file(path))
    except FileNotFoundError:
        raise
    except (OSError, ImportError, ValueError) as exc:
        raise TransientError(f"{ref} cannot be read: {exc}") from exc


def redeem_claim(ref: str, sha256: str, roots: tuple[str, ...], max_bytes: int) -> bytes:
    """The picture a claim check stands for, verified.

    Args: roots: URL prefixes claims may point into; anything else is refused, so that a message cannot
        make a worker read arbitrary files.
    Raises: PoisonFrame when the claim is outside `roots`, missing, too large or altered; TransientError.
    """
    if ".." in ref or not any(ref.startswith(f"{root.rstrip('/')}/") for root in roots):
        allowed = ", ".join(roots) or "none"
        raise PoisonFrame(
            DeadLetterReason.CLAIM_MISSING, f"ce_dataref {ref!r} is outside the allowed stores ({allowed})"
        )
    try:
        content = read_reference(ref)
    except FileNotFoundError as exc:
        raise PoisonFrame(DeadLetterReason.CLAIM_MISSING, f"ce_dataref {ref!r} does not exist") from exc
    if len(content) > max_bytes:
        raise PoisonFrame(DeadLetterReason.OVERSIZED, f"{ref} has {len(content)} bytes; the limit is {max_bytes}")
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise PoisonFrame(DeadLetterReason.CLAIM_MISMATCH, f"{ref} has sha256 {actual}, ce_datasha256 says {sha256}")
    return content

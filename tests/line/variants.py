"""Other bundles made of one: the same model under another identity, and an altered copy in the store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from engines.bundle import Bundle, write_bundle
from schemas.store import ContentStore


def later_bundle(bundle: Path, out: Path, days: int = 1) -> Path:
    """`bundle` as if it had been trained `days` later: the same decisions, another sha256."""
    first = Bundle.open(bundle)
    manifest = first.manifest.model_copy(update={"created_at": first.manifest.created_at + timedelta(days=days)})
    write_bundle(out, manifest, first.members)
    return out


def stored_path(bundles_dir: Path, bundle: Path) -> Path:
    """Where the bundle lies in the store `bundles_dir`."""
    ref = ContentStore(f"file://{bundles_dir}").ref(Bundle.open(bundle).sha256, ".bundle")
    return Path(ref.removeprefix("file://"))


def alter(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

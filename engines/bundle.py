"""A bundle: one deterministic zip file with a model, its template, thresholds and provenance.

The file is named by its sha256. It is stored, not compressed; names, order, times and attributes are
fixed, so that equal contents give equal bytes. Nothing in it is ever unpacked to disk.

    manifest.json    Manifest: what this is, and the sha256 of every other member
    model.onnx       (N, 3, H, W) uint8 RGB -> (N, 1, h, w) float32 score grid
    template.png     (H, W) or (H, W, 3) uint8, the golden reference at the model's input size
    foreground.png   optional (H, W) uint8: template pixels above 127 are scored, the others never
    baseline.npz     optional arrays: the golden median-gradient map
    matcher.onnx     optional: the matching network of engines/imm_graph.py, which the alignment starts from
    report.png       optional: what training saw, for people
    layout.toml      optional: where machine parameters are printed (schemas/layout.py); then these too:
    layout.png       the layout's reference picture, (H, W) uint8 of the frame's size
    reader.onnx      (N, 20, W) uint8 lines -> log probabilities of characters (engines/reader_net.py)
    usual.json       optional: what machine parameters are on good parts (pipeline/process_signals.py)
    oanet.onnx       optional: fuses picture and parameters (engines/oanet_graph.py); then oanet.trees and oanet.npz too
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from engines.manifest import MANIFEST_FORMAT, Manifest, Member
from schemas.errors import SetupError

MANIFEST = "manifest.json"
MODEL = "model.onnx"
TEMPLATE = "template.png"
FOREGROUND = "foreground.png"
BASELINE = "baseline.npz"
MATCHER = "matcher.onnx"
REPORT = "report.png"
LAYOUT, LAYOUT_PICTURE, READER = "layout.toml", "layout.png", "reader.onnx"
USUAL = "usual.json"
MAX_BUNDLE_BYTES = 1 << 30
MAX_MANIFEST_BYTES = 4 << 20
MAX_MEMBERS = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9]+)+", re.ASCII)
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle in memory. `sha256` (hex) is that of the whole file, its identity everywhere."""

    sha256: str
    manifest: Manifest
    members: Mapping[str, bytes]

    @classmethod
    def open(cls, path: Path | str) -> Bundle:
        """The bundle at `path`, every member checked. Raises: SetupError naming file, member and remedy."""
        path = Path(path)
        try:
            if path.stat().st_size > MAX_BUNDLE_BYTES:
                raise SetupError(f"bundle {path} has {path.stat().st_size} bytes; the limit is {MAX_BUNDLE_BYTES}")
            content = path.read_bytes()
        except OSError as exc:
            raise SetupError(f"bundle {path} cannot be read: {exc}; check the path") from exc
        return cls.from_bytes(content, str(path))

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "bundle") -> Bundle:
        """The bundle whose file content is `content`; `name` is used in messages.

        Raises: SetupError when it is no bundle, of an unknown format, altered or incomplete.
        """
        members = _read_members(content, name)
        manifest = _read_manifest(members.pop(MANIFEST, None), name)
        _check_digests(manifest, members, name)
        for required in (MODEL, TEMPLATE):
            if required not in members:
                raise SetupError(f"{name}: member {required} is missing; build the bundle again with `sightline train`")
        return cls(hashlib.sha256(content).hexdigest(), manifest, members)

    @property
    def model(self) -> bytes:
        """The ONNX model, serialised."""
        return self.members[MODEL]

    @property
    def template_sha256(self) -> str:
        return self.manifest.members[TEMPLATE].sha256

    def template(self) -> NDArray[np.uint8]:
        """(H, W) grey or (H, W, 3) RGB uint8, of the manifest's input size."""
        picture = _decode_png(self.members[TEMPLATE], TEMPLATE, self.manifest.input_size_px)
        return picture if picture.ndim == 2 else np.ascontiguousarray(picture[:, :, ::-1])

    def template_grey(self) -> NDArray[np.uint8]:
        """(H, W) uint8."""
        template = self.template()
        return template if template.ndim == 2 else np.asarray(cv2.cvtColor(template, cv2.COLOR_RGB2GRAY), np.uint8)

    def foreground(self) -> NDArray[np.bool_] | None:
        """(H, W) bool, True where the template is scored; None when everything is."""
        if FOREGROUND not in self.members:
            return None
        picture = _decode_png(self.members[FOREGROUND], FOREGROUND, self.manifest.input_size_px)
        return (picture if picture.ndim == 2 else picture[:, :, 0]) > 127

    def arrays(self, member: str) -> dict[str, NDArray[np.generic]] | None:
        """The named arrays of an .npz member, read without pickle; None when the bundle has no such member.

        Raises: SetupError when it is not an .npz of plain arrays.
        """
        if member not in self.members:
            return None
        try:
            with np.load(io.BytesIO(self.members[member]), allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (ValueError, OSError, zipfile.BadZipFile, KeyError) as exc:
            raise SetupError(f"bundle member {member} is not an .npz of plain arrays: {exc}") from exc


def bundle_bytes(manifest: Manifest, members: Mapping[str, bytes]) -> bytes:
    """The file content of a bundle; `manifest.members` is filled in from `members`.

    Raises: ValueError for a member name that is not plain lower case ``name.ext``, or a missing model or template.
    """
    bad = [name for name in members if not _NAME.fullmatch(name) or name == MANIFEST]
    if bad or MODEL not in members or TEMPLATE not in members:
        raise ValueError(f"a bundle needs {MODEL} and {TEMPLATE} and plain names; got {sorted(members)}")
    digests = {name: Member(sha256=hashlib.sha256(members[name]).hexdigest(), size_bytes=len(members[name]))
               for name in sorted(members)}  # fmt: skip
    described = manifest.model_copy(update={"members": digests})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, strict_timestamps=True) as archive:
        _add(archive, MANIFEST, described.model_dump_json(indent=1).encode())
        for name in sorted(members):
            _add(archive, name, members[name])
    return out.getvalue()


def write_bundle(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> str:
    """Write a bundle to `path`, whole or not at all; returns its sha256 (hex)."""
    content = bundle_bytes(manifest, members)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return hashlib.sha256(content).hexdigest()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _FIXED_TIME)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    info.compress_type = zipfile.ZIP_STORED
    archive.writestr(info, content)


def _read_members(content: bytes, name: str) -> dict[str, bytes]:
    """Every member, after checks that make path tricks, duplicates and zip bombs impossible."""
    if len(content) > MAX_BUNDLE_BYTES:
        raise SetupError(f"{name} has {len(content)} bytes; the limit for a bundle is {MAX_BUNDLE_BYTES}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_MEMBERS or len({entry.filename for entry in entries}) != len(entries):
                raise SetupError(f"{name} has {len(entries)} members, some twice or more than {MAX_MEMBERS}")
            for entry in entries:
                if not _NAME.fullmatch(entry.filename):
                    raise SetupError(f"{name}: member name {entry.filename!r} is not a plain file name")
                if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                    raise SetupError(f"{name}: member {entry.filename} is compressed or encrypted; bundles are neither")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as exc:
        raise SetupError(
            f"{name} is not a Sightline bundle or is damaged ({exc}); copy it again or build it with `sightline train`"
        ) from exc


def _read_manifest(content: bytes | None, name: str) -> Manifest:
    if content is None:
        raise SetupError(f"{name}: member {MANIFEST} is missing; this zip file is not a Sightline bundle")
    if len(content) > MAX_MANIFEST_BYTES:
        raise SetupError(f"{name}: member {MANIFEST} has {len(content)} bytes; the limit is {MAX_MANIFEST_BYTES}")
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_context=False)
        if any(error["loc"] == ("format",) for error in errors):
            given = next(error["input"] for error in errors if error["loc"] == ("format",))
            raise SetupError(
                f"{name} has bundle format {given!r}; this version reads {MANIFEST_FORMAT}: update Sightline or "
                "train the bundle again"
            ) from exc
        first = errors[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise SetupError(f"{name}: {MANIFEST} is invalid at {where}: {first['msg']}; train the bundle again") from exc


def _check_digests(manifest: Manifest, members: Mapping[str, bytes], name: str) -> None:
    for member, digest in manifest.members.items():
        if member not in members:
            raise SetupError(f"{name}: member {member} is missing; copy the bundle again or build it again")
        actual = hashlib.sha256(members[member]).hexdigest()
        if actual != digest.sha256 or len(members[member]) != digest.size_bytes:
            raise SetupError(
                f"{name}: member {member} has sha256 {actual}, the manifest says {digest.sha256}: it was altered; "
                "copy the bundle again or build it again"
            )
    unknown = sorted(set(members) - set(manifest.members))
    if unknown:
        raise SetupError(f"{name}: members {unknown} are not in the manifest: the bundle was altered")


def _decode_png(content: bytes, member: str, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if picture is None or picture.dtype != np.uint8 or (picture.ndim == 3 and picture.shape[2] != 3):
        raise SetupError(f"bundle member {member} is not an 8-bit grey or colour PNG; train the bundle again")
    if (picture.shape[1], picture.shape[0]) != size_px:
        raise SetupError(
            f"bundle member {member} is {picture.shape[1]}x{picture.shape[0]} px, the manifest's input_size_px says "
            f"{size_px[0]}x{size_px[1]}; train the bundle again"
        )
    return np.asarray(picture, np.uint8)

"""Bundles: deterministic, verified member by member, and safe to open whoever made them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.bundle import BASELINE, FOREGROUND, MANIFEST, MODEL, TEMPLATE, Bundle, bundle_bytes, write_bundle
from engines.manifest import Manifest
from schemas.errors import SetupError
from schemas.verdict import Thresholds
from tests.engines.backends.small_model import manifest, plate, small_bundle, small_model
from tests.pipeline.pictures import encode

MEMBERS = {MODEL: small_model(), TEMPLATE: encode(".png", plate((64, 48)))}


def rewritten(content: bytes, change: Callable[[dict[str, bytes]], Iterable[tuple[str, bytes]]]) -> bytes:
    """The zip `content` with its members changed and the manifest left as it is unless `change` changes it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, value in change(members):
            archive.writestr(name, value)
    return out.getvalue()


def refusal(content: bytes) -> str:
    with pytest.raises(SetupError) as caught:
        Bundle.from_bytes(content, "screw.bundle")
    return str(caught.value)


class TestWritingAndReading:
    def test_what_is_written_is_read_back(self, tmp_path: Path) -> None:
        members = {**MEMBERS, "report.png": encode(".png", plate((32, 32)))}
        sha256 = write_bundle(tmp_path / "new" / "plate.bundle", manifest(), members)
        bundle = Bundle.open(tmp_path / "new" / "plate.bundle")
        assert bundle.sha256 == sha256
        assert bundle.members == members
        assert bundle.manifest.product == "plate"
        assert bundle.template_sha256 == bundle.manifest.members[TEMPLATE].sha256
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["plate.bundle"]

    def test_equal_contents_give_equal_bytes_whatever_their_order(self) -> None:
        backwards = dict(reversed(MEMBERS.items()))
        assert bundle_bytes(manifest(), MEMBERS) == bundle_bytes(manifest(), backwards)
        assert bundle_bytes(manifest(), MEMBERS) != bundle_bytes(manifest(product="other"), MEMBERS)

    def test_the_template_comes_back_in_grey_or_rgb(self) -> None:
        grey = small_bundle()
        np.testing.assert_array_equal(grey.template(), plate((64, 48)))
        rgb = np.dstack([plate((64, 48)), plate((64, 48), 2), plate((64, 48), 3)])
        colour = small_bundle(template=rgb, colour="rgb")
        np.testing.assert_array_equal(colour.template(), rgb)
        assert colour.template_grey().shape == (48, 64)

    def test_optional_members_are_none_when_absent(self) -> None:
        assert small_bundle().foreground() is None
        assert small_bundle().arrays(BASELINE) is None

    def test_foreground_and_arrays_come_back(self) -> None:
        mask = np.zeros((48, 64), np.uint8)
        mask[10:20, 5:50] = 255
        archive = io.BytesIO()
        np.savez(archive, median=np.arange(6.0))
        members = {**MEMBERS, FOREGROUND: encode(".png", mask), BASELINE: archive.getvalue()}
        bundle = Bundle.from_bytes(bundle_bytes(manifest(), members))
        np.testing.assert_array_equal(bundle.foreground(), mask > 0)
        arrays = bundle.arrays(BASELINE)
        assert arrays is not None
        np.testing.assert_array_equal(arrays["median"], np.arange(6.0))

    def test_pickled_arrays_are_refused(self) -> None:
        archive = io.BytesIO()
        np.savez(archive, median=np.array([{}], dtype=object))
        bundle = Bundle.from_bytes(bundle_bytes(manifest(), {**MEMBERS, BASELINE: archive.getvalue()}))
        with pytest.raises(SetupError, match="plain arrays"):
            bundle.arrays(BASELINE)

    @pytest.mark.parametrize("name", ["../evil.png", "/etc/x.png", "a/b.png", "UPPER.png", "noext", MANIFEST])
    def test_member_names_are_plain(self, name: str) -> None:
        with pytest.raises(ValueError, match="plain names"):
            bundle_bytes(manifest(), {**MEMBERS, name: b""})

    def test_thresholds_out_of_order_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"exceeds thresholds\.fail"):
            manifest(thresholds=Thresholds(review=2, fail=1))

    def test_the_manifest_survives_json(self) -> None:
        described = small_bundle().manifest
        assert Manifest.model_validate_json(described.model_dump_json()) == described


class TestRefusals:
    CONTENT = bundle_bytes(manifest(), MEMBERS)

    def test_a_missing_file_names_the_path(self, tmp_path: Path) -> None:
        with pytest.raises(SetupError, match=r"nowhere\.bundle cannot be read"):
            Bundle.open(tmp_path / "nowhere.bundle")

    def test_no_bundle_at_all(self) -> None:
        assert "not a Sightline bundle" in refusal(b"hello")
        assert "manifest.json is missing" in refusal(rewritten(self.CONTENT, lambda m: [("a.txt", b"")]))

    @pytest.mark.parametrize("member", [MODEL, TEMPLATE])
    def test_an_altered_member_is_named(self, member: str) -> None:
        altered = rewritten(self.CONTENT, lambda m: {**m, member: m[member][:-1] + b"!"}.items())
        assert f"member {member} has sha256" in refusal(altered)

    @pytest.mark.parametrize("member", [MODEL, TEMPLATE])
    def test_a_missing_member_is_named(self, member: str) -> None:
        assert f"member {member} is missing" in refusal(
            rewritten(self.CONTENT, lambda m: [(k, v) for k, v in m.items() if k != member])
        )

    def test_a_member_that_the_manifest_does_not_know(self) -> None:
        assert "not in the manifest" in refusal(rewritten(self.CONTENT, lambda m: {**m, "extra.bin": b"x"}.items()))

    @pytest.mark.parametrize("name", ["../../escape.txt", "/etc/passwd", "a\\b.txt", "sub/file.png"])
    def test_a_member_that_would_leave_its_folder(self, name: str) -> None:
        assert "not a plain file name" in refusal(rewritten(self.CONTENT, lambda m: {**m, name: b"x"}.items()))

    def test_a_compressed_member_is_refused_before_it_unpacks(self) -> None:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb.bin", bytes(50_000_000))
        assert "compressed or encrypted" in refusal(out.getvalue())

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_a_member_that_stands_twice(self) -> None:
        assert "some twice" in refusal(rewritten(self.CONTENT, lambda m: [*m.items(), (MODEL, b"other")]))

    def test_an_unknown_format_says_which_is_read(self) -> None:
        def newer(members: dict[str, bytes]) -> Iterable[tuple[str, bytes]]:
            document = json.loads(members[MANIFEST])
            document |= {"format": "sightline.bundle.v9", "unheard_of": 1}
            return {**members, MANIFEST: json.dumps(document).encode()}.items()

        message = refusal(rewritten(self.CONTENT, newer))
        assert "sightline.bundle.v9" in message and "sightline.bundle.v1" in message

    def test_a_bad_value_in_the_manifest_is_named(self) -> None:
        def wrong(members: dict[str, bytes]) -> Iterable[tuple[str, bytes]]:
            document = json.loads(members[MANIFEST])
            document["input_size_px"] = ["wide", 48]
            return {**members, MANIFEST: json.dumps(document).encode()}.items()

        assert "input_size_px.0" in refusal(rewritten(self.CONTENT, wrong))

    def test_a_template_of_another_size_than_the_manifest_says(self) -> None:
        bundle = Bundle.from_bytes(bundle_bytes(manifest(), {**MEMBERS, TEMPLATE: encode(".png", plate((32, 32)))}))
        with pytest.raises(SetupError, match=r"32x32 px, the manifest's input_size_px says 64x48"):
            bundle.template()

    @settings(max_examples=120, deadline=None, derandomize=True)
    @given(at=st.integers(0, len(CONTENT) - 1), flip=st.integers(1, 255))
    def test_any_altered_byte_is_refused_or_leaves_every_member_whole(self, at: int, flip: int) -> None:
        damaged = bytearray(self.CONTENT)
        damaged[at] ^= flip
        try:
            bundle = Bundle.from_bytes(bytes(damaged))
        except SetupError:
            return
        assert bundle.members == MEMBERS

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(cut=st.integers(0, len(CONTENT) - 1))
    def test_a_bundle_cut_anywhere_is_refused(self, cut: int) -> None:
        refusal(self.CONTENT[:cut])

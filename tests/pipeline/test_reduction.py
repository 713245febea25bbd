"""Frames decoded at a reduced scale: the same pixels, shrunk, and every place still in pixels as sent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.geometry import apply, compose, motion, pose
from engines.manifest import Manifest
from pipeline.bundling import train_bundle
from pipeline.decode import DecodeRules, Picture, decode, reduced
from pipeline.field_members import FieldMembers
from pipeline.inspection import Inspection, Inspector, RecipeRules
from pipeline.preparation import Preparation
from pipeline.reduction import choose_reduction
from pipeline.train_settings import TrainSettings
from schemas.errors import DeadLetterReason, InputError, PoisonFrame
from schemas.layout import Layout, LayoutField, encode_layout
from schemas.verdict import AlignmentStatus, Reason
from tests.pipeline.frames import LIMITS, TEMPLATE_PX, plate_bundle, plate_frame, request
from tests.pipeline.pictures import CONTENT_TYPES, encode, grey_pixels, rgb_pixels

WHOLE_PX = (768, 640)
REDUCTIONS: tuple[Literal[2], Literal[4]] = (2, 4)
POSES = [(0, 0, 0), (21, -13, 25), (-30, 18, -140), (7, 9, 90)]


def mean_of_squares(pixels: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    height, width = pixels.shape[0] // side, pixels.shape[1] // side
    squares = pixels[: height * side, : width * side].reshape(height, side, width, side, *pixels.shape[2:])
    return np.asarray(squares.mean(axis=(1, 3)), np.float32)


class TestDecoding:
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    @pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff", ".jpg"])
    def test_each_pixel_is_the_mean_of_those_it_stands_for(self, extension: str, reduction: Literal[2, 4]) -> None:
        pixels = grey_pixels(96, 64)
        whole = decode(encode(extension, pixels), CONTENT_TYPES[extension])
        small = decode(encode(extension, pixels), CONTENT_TYPES[extension], DecodeRules(reduction=reduction))
        assert (small.size_px, small.decoded_px) == ((96, 64), (96 // reduction, 64 // reduction))
        apart = np.abs(small.grey - mean_of_squares(whole.grey, reduction))
        if extension != ".jpg":
            assert apart.max() <= 0.5
        else:  # the inverse transform of the low frequencies alone is a little sharper than the mean
            assert apart.mean() < 1.5 and apart.max() < 16

    @pytest.mark.parametrize("extension", [".png", ".jpg"])
    def test_colour_is_reduced_alike(self, extension: str) -> None:
        pixels, rules = rgb_pixels(96, 64), DecodeRules(colour=True, reduction=2)
        small = decode(encode(extension, pixels), CONTENT_TYPES[extension], rules)
        whole = decode(encode(extension, pixels), CONTENT_TYPES[extension], DecodeRules(colour=True))
        assert small.colour is not None and whole.colour is not None
        assert small.colour.shape == (32, 48, 3) and small.grey.shape == (32, 48)
        assert np.abs(small.colour - mean_of_squares(whole.colour, 2)).mean() < (0.6 if extension == ".png" else 9)

    @pytest.mark.parametrize("size_px", [(97, 63), (75, 66), (17, 31)])
    def test_a_size_that_cannot_be_divided_is_rounded_up_by_every_format(self, size_px: tuple[int, int]) -> None:
        pixels = np.full((size_px[1], size_px[0]), 90, np.uint8)
        for extension in (".png", ".jpg"):
            small = decode(encode(extension, pixels), CONTENT_TYPES[extension], DecodeRules(reduction=4))
            assert small.size_px == size_px and small.decoded_px == (-(-size_px[0] // 4), -(-size_px[1] // 4))
            assert np.abs(small.grey.astype(int) - 90).max() <= 1

    def test_deep_samples_are_brought_to_eight_bits_before_they_are_averaged(self) -> None:
        pixels = grey_pixels(64, 48).astype(np.uint16) * 16
        rules = DecodeRules(significant_bits=12, reduction=2)
        small = decode(encode(".png", pixels), "image/png", rules)
        assert np.abs(small.grey - mean_of_squares(grey_pixels(64, 48), 2)).max() <= 0.5

    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_a_jpeg_its_decoder_complains_of_is_refused_all_the_same(self, reduction: Literal[2, 4]) -> None:
        jpeg, rng = encode(".jpg", grey_pixels(256, 256)), np.random.default_rng(0)
        n_refused = 0
        for cut in rng.integers(700, len(jpeg) - 100, 40).tolist():
            assert self.is_refused(jpeg[:cut] + b"\xff\xd9", reduction)
            damaged = jpeg[:cut] + rng.bytes(20) + jpeg[cut + 20 :]
            assert self.is_refused(damaged, reduction) == self.is_refused(damaged, 1)
            n_refused += self.is_refused(damaged, reduction)
        assert n_refused > 20

    @staticmethod
    def is_refused(jpeg: bytes, reduction: Literal[1, 2, 4]) -> bool:
        try:
            decode(jpeg, "image/jpeg", DecodeRules(reduction=reduction))
        except PoisonFrame as poison:
            assert poison.reason is DeadLetterReason.CORRUPT_PICTURE
            return True
        return False

    def test_a_bomb_is_judged_by_the_size_as_sent(self) -> None:
        with pytest.raises(PoisonFrame, match="would unpack"):
            decode(encode(".png", grey_pixels(64, 64)), "image/png", DecodeRules(max_pixels=4000, reduction=4))


class TestPlaces:
    @pytest.mark.parametrize("lies", POSES)
    @pytest.mark.parametrize("extension", [".png", ".jpg"])
    def test_a_part_is_found_where_it_lies_in_the_frame_as_sent(
        self, extension: str, lies: tuple[float, float, float]
    ) -> None:
        jpeg = encode(extension, plate_frame(*lies, frame_px=WHOLE_PX))
        truth = motion(WHOLE_PX, TEMPLATE_PX, *lies)
        corners = np.array([[0.0, 0.0], [95.0, 0.0], [95.0, 79.0], [0.0, 79.0]])
        for reduction in (1, *REDUCTIONS):
            bundle = plate_bundle(frame_size_px=WHOLE_PX, decode_reduction=reduction)
            preparation = Preparation.of_bundle(bundle)
            placed, seen = preparation.prepare(decode(jpeg, CONTENT_TYPES[extension], preparation.decode_rules))
            assert placed.alignment.status is AlignmentStatus.ALIGNED and seen is not None
            apart_px = np.abs(apply(placed.transform, corners) - apply(truth, corners)).max()
            assert apart_px < 1.0, f"1/{reduction}: {apart_px} of the frame's pixels, of which a template pixel has 8"
            published = [placed.alignment.dx_px, placed.alignment.dy_px, placed.alignment.angle_deg]
            np.testing.assert_allclose(np.array(published, np.float64), np.array(lies), atol=0.5)
            np.testing.assert_array_equal(seen.transform, placed.transform)

    def test_a_defect_is_boxed_where_it_lies_in_the_frame_as_sent(self) -> None:
        x, y, w, h = scratch = (30, 36, 30, 9)
        frame, answers = plate_frame(12, -8, 25, scratch=scratch, frame_px=WHOLE_PX), []
        for reduction in (1, *REDUCTIONS):
            inspector = Inspector(
                plate_bundle(frame_size_px=WHOLE_PX, decode_reduction=reduction), backend="onnxruntime"
            )
            (answer,) = inspector.inspect([request(frame)], RecipeRules(LIMITS))
            assert isinstance(answer, Inspection) and answer.frame_size_px == WHOLE_PX
            answers.append(answer)
        corners = np.array(
            [[x - 0.5, y - 0.5], [x + w - 0.5, y - 0.5], [x + w - 0.5, y + h - 0.5], [x - 0.5, y + h - 0.5]]
        )
        there = apply(motion(WHOLE_PX, TEMPLATE_PX, 12, -8, 25), corners)
        edges = [(x, y, x + w, y + h) for x, y, w, h in (answer.defects[0].bbox_px for answer in answers)]
        np.testing.assert_allclose(edges[0], [*there.min(axis=0), *there.max(axis=0)], atol=16)  # the map is smoothed
        np.testing.assert_allclose(edges[1:], [edges[0]] * 2, atol=8)  # a pixel of the template

    def test_without_alignment_the_frame_is_only_resized(self) -> None:
        frame = plate_frame(frame_px=WHOLE_PX)
        seen = []
        for reduction in (1, 4):
            preparation = Preparation.of_bundle(
                plate_bundle(align=None, frame_size_px=WHOLE_PX, decode_reduction=reduction)
            )
            placed, prepared = preparation.prepare(decode(encode(".png", frame), "image/png", preparation.decode_rules))
            assert prepared is not None and placed.transform[0, 0] == 8
            seen.append(prepared.grey.astype(int))
        assert np.abs(seen[0] - seen[1]).mean() < 0.6

    def test_a_picture_is_answered_the_same_alone_and_in_a_batch(self) -> None:
        inspector = Inspector(plate_bundle(frame_size_px=WHOLE_PX, decode_reduction=2), backend="onnxruntime")
        requests = [request(plate_frame(*lies, frame_px=WHOLE_PX), ".jpg") for lies in POSES]
        together = inspector.inspect(requests, RecipeRules(LIMITS))
        for alone, beside in zip(requests, together, strict=True):
            (answer,) = inspector.inspect([alone], RecipeRules(LIMITS))
            assert isinstance(answer, Inspection) and isinstance(beside, Inspection)
            assert (answer.score, answer.alignment, answer.defects) == (beside.score, beside.alignment, beside.defects)

    def test_another_size_is_told_as_sent(self) -> None:
        inspector = Inspector(plate_bundle(frame_size_px=WHOLE_PX, decode_reduction=2), backend="onnxruntime")
        (answer,) = inspector.inspect([request(plate_frame(frame_px=(384, 320)))], RecipeRules(LIMITS))
        assert isinstance(answer, Inspection) and answer.reason is Reason.WRONG_SIZE
        assert "384x320" in answer.detail and "768x640" in answer.detail


@pytest.mark.parametrize("size_px", [(384, 320), (97, 63), (130, 77)])
def test_a_shift_as_sent_is_that_of_the_transform_as_sent(size_px: tuple[int, int]) -> None:
    pixels = np.zeros((size_px[1], size_px[0]), np.uint8)
    for reduction in REDUCTIONS:
        picture = Picture(reduced(pixels, reduction), None, reduction, size_px)
        transform = motion(picture.decoded_px, TEMPLATE_PX, 3.25, -7.5, 40)
        moved = pose(compose(picture.to_sent, transform), TEMPLATE_PX, size_px)
        np.testing.assert_allclose(picture.shift_as_sent(3.25, -7.5), (moved.dx_px, moved.dy_px), atol=1e-9)


class TestManifest:
    def test_a_manifest_that_knows_no_reduction_decodes_in_full(self) -> None:
        old = plate_bundle().manifest.model_dump(mode="json")
        del old["decode_reduction"]
        assert Manifest.model_validate(old).decode_reduction == 1

    def test_a_reduction_that_does_not_divide_the_frame_is_refused(self) -> None:
        with pytest.raises(ValueError, match="cannot be divided"):
            plate_bundle(frame_size_px=(194, 160), decode_reduction=4)


class TestChoice:
    @pytest.fixture
    def frame(self, tmp_path: Path) -> Path:
        path = tmp_path / "frame.png"
        path.write_bytes(encode(".png", np.zeros((640, 768), np.uint8)))
        return path

    def test_auto_leaves_two_decoded_pixels_to_each_of_the_model(self, frame: Path) -> None:
        assert [choose_reduction("auto", frame, px, False) for px in (96, 192, 256, 512)] == [4, 2, 1, 1]

    def test_auto_decodes_in_full_what_cannot_be_divided(self, tmp_path: Path) -> None:
        path = tmp_path / "odd.png"
        path.write_bytes(encode(".png", np.zeros((641, 768), np.uint8)))
        assert choose_reduction("auto", path, 96, False) == 1
        with pytest.raises(InputError, match="cannot be divided"):
            choose_reduction(2, path, 96, False)

    def test_fields_are_read_at_full_size(self, frame: Path) -> None:
        assert choose_reduction("auto", frame, 96, True) == 1
        with pytest.raises(InputError, match="--fields"):
            choose_reduction(2, frame, 96, True)

    def test_fields_with_a_reduction_are_refused_before_a_picture_is_decoded(self, frame: Path, tmp_path: Path) -> None:
        field = LayoutField(name="Force", unit="gf", decimals=1, low=0, high=99, name_px=(4, 4, 50, 20),
                            value_px=(60, 4, 80, 20), digits_px=(8.0, 19.0))  # fmt: skip
        layout = Layout(product="plate", frame_size_px=(768, 640), picture="frame.png", fields=(field,))
        (tmp_path / "plate.toml").write_bytes(encode_layout(layout))
        unreadable = [tmp_path / f"{i}.png" for i in range(10)]
        with pytest.raises(InputError, match="--decode-reduction 2 with --fields"):
            train_bundle(
                "plate", unreadable, [], backbone="student", weights=None, colour="auto",
                settings=TrainSettings(decode_reduction=2), created_at=datetime(2030, 1, 1, tzinfo=UTC),
                out=tmp_path / "plate.bundle", progress=lambda what, done, total: None,
                fields=FieldMembers.open(tmp_path / "plate.toml"),
            )  # fmt: skip

    def test_less_than_the_model_sees_is_refused(self, frame: Path) -> None:
        with pytest.raises(InputError, match="smaller than"):
            choose_reduction(4, frame, 256, False)

    def test_what_is_no_picture_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "text.png"
        path.write_text("no picture")
        with pytest.raises(InputError, match=r"text\.png"):
            choose_reduction("auto", path, 96, False)


def test_squares_that_are_not_whole_repeat_the_edge() -> None:
    pixels = np.array([[10, 20, 30], [50, 60, 70]], np.uint8)
    np.testing.assert_array_equal(reduced(pixels, 2), [[35, 50]])
    assert Picture(pixels, None).to_sent[0, 2] == 0

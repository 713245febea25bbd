"""Decoding: every format a camera may send, and everything that must be refused."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.decode import DecodeRules, Picture, decode
from schemas.errors import DeadLetterReason, PoisonFrame
from tests.pipeline.pictures import (
    CONTENT_TYPES,
    TIFF_COMPRESSIONS,
    encode,
    grey_pixels,
    plain_tiff,
    png,
    png_chunk,
    png_rows,
    rgb_pixels,
    tiff,
)

COLOUR = DecodeRules(colour=True)
ALL_EXTENSIONS = sorted(CONTENT_TYPES)
LOSSLESS = [extension for extension in ALL_EXTENSIONS if extension != ".jpg"]
CORRUPT = DeadLetterReason.CORRUPT_PICTURE
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def refusal(picture: bytes, content_type: str, rules: DecodeRules = COLOUR) -> PoisonFrame:
    with pytest.raises(PoisonFrame) as caught:
        decode(picture, content_type, rules)
    return caught.value


def decode_or_refuse(picture: bytes, content_type: str) -> Picture | PoisonFrame:
    try:
        return decode(picture, content_type, DecodeRules(colour=True, max_pixels=1_000_000))
    except PoisonFrame as poison:
        return poison


class TestWhatIsRead:
    @pytest.mark.parametrize("extension", LOSSLESS)
    def test_grey_is_kept_to_the_bit(self, extension: str) -> None:
        pixels = grey_pixels()
        picture = decode(encode(extension, pixels), CONTENT_TYPES[extension], COLOUR)
        np.testing.assert_array_equal(picture.grey, pixels)
        assert picture.colour is not None
        np.testing.assert_array_equal(picture.colour, np.dstack([pixels] * 3))

    @pytest.mark.parametrize("extension", LOSSLESS)
    def test_colour_is_rgb_and_grey_is_its_luma(self, extension: str) -> None:
        pixels = rgb_pixels()
        picture = decode(encode(extension, pixels), CONTENT_TYPES[extension], COLOUR)
        assert picture.colour is not None
        np.testing.assert_array_equal(picture.colour, pixels)
        luma = pixels @ np.array([0.299, 0.587, 0.114])
        assert np.abs(picture.grey - luma).max() <= 0.51

    @pytest.mark.parametrize("extension", LOSSLESS)
    def test_alpha_is_dropped_and_the_colour_under_it_counts_in_full(self, extension: str) -> None:
        pixels = np.dstack([rgb_pixels(), grey_pixels(seed=9)])
        picture = decode(encode(extension, pixels), CONTENT_TYPES[extension], COLOUR)
        assert picture.colour is not None
        np.testing.assert_array_equal(picture.colour, pixels[:, :, :3])

    def test_grey_with_alpha_keeps_its_grey(self) -> None:
        rows = np.array([[10, 255, 20, 0], [30, 64, 40, 128]], np.uint8)
        picture = decode(png(2, 2, 8, 4, png_rows(rows)), "image/png")
        np.testing.assert_array_equal(picture.grey, [[10, 20], [30, 40]])

    @pytest.mark.parametrize("pixels", [grey_pixels(), rgb_pixels()], ids=["grey", "colour"])
    def test_jpeg_equals_what_libjpeg_gives(self, pixels: np.ndarray) -> None:
        encoded = encode(".jpg", pixels, cv2.IMWRITE_JPEG_QUALITY, 90)
        picture = decode(encoded, "image/jpeg")
        expected = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(picture.grey, expected)
        colour = decode(encoded, "image/jpeg", COLOUR).colour
        assert colour is not None
        bgr = np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR))
        assert np.abs(colour.astype(int) - bgr[:, :, ::-1]).max() <= 1

    def test_progressive_jpeg_is_read(self) -> None:
        encoded = encode(".jpg", rgb_pixels(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
        assert decode(encoded, "image/jpeg").size_px == (72, 56)

    @pytest.mark.parametrize("extension", [".png", ".tiff"])
    @pytest.mark.parametrize("is_colour", [False, True])
    def test_sixteen_bits_become_eight_by_the_stated_shift(self, extension: str, is_colour: bool) -> None:
        wide = (rgb_pixels() if is_colour else grey_pixels()).astype(np.uint16) * 16 + 7
        encoded = encode(extension, wide)
        twelve = decode(encoded, CONTENT_TYPES[extension], DecodeRules(colour=True, significant_bits=12))
        sixteen = decode(encoded, CONTENT_TYPES[extension], COLOUR)
        assert twelve.colour is not None and sixteen.colour is not None
        as_colour = wide if is_colour else np.dstack([wide] * 3)
        np.testing.assert_array_equal(twelve.colour, as_colour >> 4)
        np.testing.assert_array_equal(sixteen.colour, as_colour >> 8)

    def test_sixteen_bits_above_the_significant_ones_saturate(self) -> None:
        bright = np.full((32, 32), 65535, np.uint16)
        picture = decode(encode(".png", bright), "image/png", DecodeRules(significant_bits=10))
        assert picture.grey.min() == 255

    @pytest.mark.parametrize("compression", sorted(TIFF_COMPRESSIONS))
    @pytest.mark.parametrize("wide", [False, True])
    def test_every_tiff_compression_is_lossless(self, compression: str, wide: bool) -> None:
        pixels = rgb_pixels(201, 130).astype(np.uint16) * 257 if wide else rgb_pixels(201, 130)
        encoded = encode(".tiff", pixels, cv2.IMWRITE_TIFF_COMPRESSION, TIFF_COMPRESSIONS[compression])
        picture = decode(encoded, "image/tiff", COLOUR)
        assert picture.colour is not None
        np.testing.assert_array_equal(picture.colour, rgb_pixels(201, 130))

    def test_a_long_lzw_strip_passes_through_table_resets(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (200, 300)).astype(np.uint8)
        encoded = encode(".tiff", pixels, cv2.IMWRITE_TIFF_COMPRESSION, 5, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 200)
        np.testing.assert_array_equal(decode(encoded, "image/tiff").grey, pixels)

    def test_tiff_of_either_byte_order_and_in_tiles(self) -> None:
        wide = grey_pixels().astype(np.uint16) * 257
        for order in "<>":
            np.testing.assert_array_equal(decode(plain_tiff(wide, order), "image/tiff").grey, grey_pixels())
        pixels = grey_pixels(20, 20)
        padded = np.pad(pixels, ((0, 12), (0, 12)))
        tiles = b"".join(padded[y : y + 16, x : x + 16].tobytes() for y in (0, 16) for x in (0, 16))
        places = tuple(8 + 256 * i for i in range(4))
        tags = {256: (4, (20,)), 257: (4, (20,)), 258: (3, (8,)), 262: (3, (1,)), 322: (3, (16,)), 323: (3, (16,)),
                324: (4, places), 325: (4, (256,) * 4)}  # fmt: skip
        np.testing.assert_array_equal(decode(tiff(tags, tiles), "image/tiff").grey, pixels)

    def test_a_tiff_palette_is_colour(self) -> None:
        palette = tuple(257 * value for plane in ((9, 200), (8, 100), (7, 50)) for value in plane + (0,) * 254)
        encoded = plain_tiff(np.array([[0, 1]], np.uint8), t262=(3, (3,)), t320=(3, palette))
        picture = decode(encoded, "image/tiff", COLOUR)
        assert picture.colour is not None
        np.testing.assert_array_equal(picture.colour, [[[9, 8, 7], [200, 100, 50]]])

    def test_orientation_tags_are_ignored(self) -> None:
        pixels = grey_pixels()
        np.testing.assert_array_equal(decode(plain_tiff(pixels, t274=(3, (6,))), "image/tiff").grey, pixels)
        exif = b"Exif\0\0" + tiff({274: (3, (6,))}, b"")
        plain = encode(".jpg", pixels)
        turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
        np.testing.assert_array_equal(decode(turned, "image/jpeg").grey, decode(plain, "image/jpeg").grey)
        rows = png_rows(pixels)
        turned = png(72, 56, 8, 0, rows, png_chunk(b"eXIf", tiff({274: (3, (6,))}, b"")))
        np.testing.assert_array_equal(decode(turned, "image/png").grey, pixels)

    def test_bmp_rows_from_top_or_bottom(self) -> None:
        encoded = bytearray(encode(".bmp", rgb_pixels()))
        struct.pack_into("<i", encoded, 22, -56)
        upside = decode(bytes(encoded), "image/bmp", COLOUR).colour
        assert upside is not None
        np.testing.assert_array_equal(upside, rgb_pixels()[::-1])

    def test_bytes_after_the_end_are_harmless(self) -> None:
        for extension in ALL_EXTENSIONS:
            encoded = encode(extension, grey_pixels())
            plain = decode(encoded, CONTENT_TYPES[extension])
            np.testing.assert_array_equal(decode(encoded + b"padding", CONTENT_TYPES[extension]).grey, plain.grey)


class TestWhatIsRefused:
    def test_nothing_at_all(self) -> None:
        assert refusal(b"", "image/png").reason is DeadLetterReason.EMPTY_VALUE

    def test_a_text_file(self) -> None:
        assert refusal(b"hello, world", "image/png").reason is CORRUPT

    def test_another_format_than_the_content_type_says(self) -> None:
        poison = refusal(encode(".jpg", grey_pixels()), "image/png")
        assert poison.reason is DeadLetterReason.CONTENT_TYPE_MISMATCH
        assert "image/jpeg" in poison.detail

    def test_a_decompression_bomb_is_refused_before_anything_is_allocated(self) -> None:
        side = 30_000
        bombs = {
            "image/png": png(side, side, 8, 0, zlib.compress(bytes(1000))),
            "image/bmp": b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
            "image/tiff": plain_tiff(
                np.zeros((4, 4), np.uint8), t256=(4, (side,)), t257=(4, (side,)), t278=(4, (side,))
            ),
            "image/jpeg": _claim_jpeg_size(encode(".jpg", grey_pixels()), side, side),
        }
        for content_type, bomb in bombs.items():
            tracemalloc.start()
            poison = refusal(bomb, content_type)
            _, peak_bytes = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert poison.reason in (DeadLetterReason.DECOMPRESSION_BOMB, CORRUPT), content_type
            assert peak_bytes < 2_000_000
        assert refusal(bombs["image/png"], "image/png").reason is DeadLetterReason.DECOMPRESSION_BOMB
        assert refusal(bombs["image/jpeg"], "image/jpeg").reason is DeadLetterReason.DECOMPRESSION_BOMB

    @pytest.mark.parametrize("extension", ALL_EXTENSIONS)
    @pytest.mark.parametrize("is_colour", [False, True])
    def test_a_picture_cut_anywhere(self, extension: str, is_colour: bool) -> None:
        encoded = encode(extension, rgb_pixels() if is_colour else grey_pixels())
        cuts = sorted({*range(1, 64), *range(64, len(encoded), 37), len(encoded) - 2, len(encoded) - 1})
        for cut in cuts:
            assert refusal(encoded[:cut], CONTENT_TYPES[extension]).reason is CORRUPT, cut

    def test_a_tiff_whose_strip_holds_too_little_or_nonsense(self) -> None:
        whole = grey_pixels().tobytes()
        strips = {"deflate": zlib.compress(whole[:1000]), "PackBits": b"\xfe\x05" * 30, "LZW": whole}
        strips["deflate "] = zlib.compress(whole)[:-20]
        for compression, strip in strips.items():
            encoded = plain_tiff(np.frombuffer(strip, np.uint8)[None], t256=(4, (72,)), t257=(4, (56,)),
                                 t278=(4, (56,)), t259=(3, (TIFF_COMPRESSIONS[compression.strip()],)))  # fmt: skip
            assert refusal(encoded, "image/tiff").reason is CORRUPT, compression

    def test_a_jpeg_cut_and_closed_again(self) -> None:
        encoded = encode(".jpg", rgb_pixels())
        for cut in range(700, len(encoded) - 40, 101):
            assert refusal(encoded[:cut] + b"\xff\xd9", "image/jpeg").reason is CORRUPT

    def test_a_png_with_one_bit_flipped_anywhere(self) -> None:
        encoded = encode(".png", grey_pixels())
        for at in range(8, len(encoded) - 8, 61):
            damaged = bytearray(encoded)
            damaged[at] ^= 0x10
            assert refusal(bytes(damaged), "image/png").reason is CORRUPT, at

    def test_a_png_whose_rows_are_missing_although_every_checksum_is_right(self) -> None:
        rows = b"".join(b"\0" + row.tobytes() for row in grey_pixels())
        assert refusal(png(72, 56, 8, 0, zlib.compress(rows[:2000])), "image/png").reason is CORRUPT
        assert refusal(png(72, 56, 8, 0, zlib.compress(rows)[:1500]), "image/png").reason is CORRUPT

    def test_formats_that_are_not_read_say_what_to_send(self) -> None:
        cases = {
            "float samples": plain_tiff(grey_pixels(), t339=(3, (3,))),
            "white is zero": plain_tiff(grey_pixels(), t262=(3, (0,))),
            "planes apart": plain_tiff(rgb_pixels(), t284=(3, (2,))),
            "jpeg in tiff": plain_tiff(grey_pixels(), t259=(3, (7,))),
        }
        for case, encoded in cases.items():
            assert refusal(encoded, "image/tiff").reason is CORRUPT, case
        assert "send" in refusal(cases["jpeg in tiff"], "image/tiff").detail
        packed = bytearray(encode(".bmp", grey_pixels()))
        struct.pack_into("<I", packed, 30, 1)
        assert "compression 1" in refusal(bytes(packed), "image/bmp").detail

    def test_zero_pixels(self) -> None:
        assert refusal(png(0, 5, 8, 0, zlib.compress(b"")), "image/png").reason is CORRUPT
        assert refusal(_claim_jpeg_size(encode(".jpg", grey_pixels()), 72, 0), "image/jpeg").reason is CORRUPT


class TestFuzz:
    """Whatever the bytes: a picture or a refusal, never another error."""

    @FUZZ
    @given(content_type=st.sampled_from(sorted(CONTENT_TYPES.values())), tail=st.binary(max_size=400))
    def test_random_bytes_behind_a_true_beginning(self, content_type: str, tail: bytes) -> None:
        starts = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n", "image/bmp": b"BM",
                  "image/tiff": b"II*\0\x08\0\0\0"}  # fmt: skip
        decode_or_refuse(starts[content_type] + tail, content_type)

    @FUZZ
    @given(data=st.data(), extension=st.sampled_from(ALL_EXTENSIONS), is_colour=st.booleans())
    def test_flipped_bytes(self, data: st.DataObject, extension: str, is_colour: bool) -> None:
        encoded = bytearray(encode(extension, rgb_pixels(24, 20) if is_colour else grey_pixels(24, 20)))
        places = st.tuples(st.integers(0, len(encoded) - 1), st.integers(1, 255))
        for at, flip in data.draw(st.lists(places, min_size=1, max_size=6)):
            encoded[at] ^= flip
        found = decode_or_refuse(bytes(encoded), CONTENT_TYPES[extension])
        if isinstance(found, Picture):
            assert found.grey.dtype == np.uint8 and found.grey.flags.c_contiguous and found.grey.size > 0

    @FUZZ
    @given(data=st.data(), compression=st.sampled_from([1, 5, 8, 32773]))
    def test_a_tiff_with_any_header_values(self, data: st.DataObject, compression: int) -> None:
        number = st.one_of(st.integers(0, 70), st.sampled_from([2**16 - 1, 2**31, 2**32 - 1]))
        tags = data.draw(st.dictionaries(st.sampled_from([256, 257, 258, 262, 273, 277, 278, 279, 284, 317, 322, 323,
                                                          324, 325]), number, max_size=5))  # fmt: skip
        changes: dict[str, Any] = {f"t{tag}": (4, (value,)) for tag, value in tags.items()}
        decode_or_refuse(plain_tiff(grey_pixels(24, 20), **({"t259": (3, (compression,))} | changes)), "image/tiff")


def _claim_jpeg_size(encoded: bytes, width: int, height: int) -> bytes:
    at = encoded.index(b"\xff\xc0")
    return encoded[: at + 5] + struct.pack(">HH", height, width) + encoded[at + 9 :]

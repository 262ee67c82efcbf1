"""Damaged and foreign files end in a code and a sentence, never in another exception or a warning."""

import random
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagejobs import errors
from imagejobs.image import compress
from imagejobs.image_result import CompressedImage
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import animate, encode, files_under, moving_frames, noise

STILLS = {
    "JPEG": encode(noise((200, 150)), "JPEG"),
    "progressive JPEG": encode(noise((200, 150)), "JPEG", progressive=True),
    "PNG": encode(noise((200, 150)), "PNG"),
    "GIF": encode(noise((200, 150), "L"), "GIF"),
    "WebP": encode(noise((200, 150)), "WEBP"),
    "lossless WebP": encode(noise((200, 150)), "WEBP", lossless=True),
}
ANIMATIONS = {
    f"animated {pillow_format}": animate(moving_frames(), pillow_format, duration=50)
    for pillow_format in ("GIF", "PNG", "WEBP")
}
WHOLE = STILLS | ANIMATIONS
ACCEPTED = (errors.FormatUnsupported, errors.ImageTooLarge, errors.ImageUnreadable)


def outcome_of(body: bytes) -> CompressedImage | errors.ImageError:
    try:
        return compress(body, CompressionOptions())
    except ACCEPTED as error:
        return error


def test_an_empty_body_is_unreadable():
    with pytest.raises(errors.ImageUnreadable, match="empty"):
        compress(b"", CompressionOptions())


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "web page"),
        (b"\r\n  <html>", "web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"%PDF-1.7", "PDF"),
        (b"BM\x36\0\0\0", "BMP"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"just text", "not a JPEG, PNG, WebP or GIF"),
        (b"\xff", "not a JPEG, PNG, WebP or GIF"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "not a JPEG, PNG, WebP or GIF"),
    ],
)
def test_other_content_is_refused_by_what_it_is(body, name):
    with pytest.raises(errors.FormatUnsupported, match=name):
        compress(body, CompressionOptions())


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.8])
def test_a_truncated_image_is_unreadable(kind, part):
    body = WHOLE[kind]
    with pytest.raises(errors.ImageUnreadable, match="truncated or damaged"):
        compress(body[: max(12, int(len(body) * part))], CompressionOptions())


@pytest.mark.parametrize("kind", WHOLE)
def test_every_whole_image_is_read(kind):
    assert isinstance(outcome_of(WHOLE[kind]), CompressedImage)


@pytest.mark.parametrize("kind", WHOLE)
@given(seed=st.integers(0, 2**32 - 1), damage=st.integers(1, 12))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_flipped_bytes_never_raise_anything_else(kind, seed, damage):
    chosen = random.Random(seed)
    body = bytearray(WHOLE[kind])
    for _ in range(damage):
        # Half of the damage goes to the first bytes, where the structure is.
        end = len(body) if chosen.random() < 0.5 else min(len(body), 200)
        body[chosen.randrange(end)] = chosen.randrange(256)
    outcome_of(bytes(body))


@given(magic=st.sampled_from([body[:16] for body in STILLS.values()]), rest=st.binary(max_size=300))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_anything_behind_a_good_beginning_never_raises_anything_else(magic, rest):
    outcome_of(magic + rest)


def test_a_png_whose_pixels_are_damaged_is_unreadable():
    body = bytearray(STILLS["PNG"])
    start = body.index(b"IDAT") + 4
    body[start + 40 : start + 60] = bytes(20)
    with pytest.raises(errors.ImageUnreadable):
        compress(bytes(body), CompressionOptions())


def test_third_party_malformed_files_end_in_a_code_quickly_and_without_a_warning():
    for path in files_under("MALFORMED_DIR"):
        began = time.monotonic()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = outcome_of(path.read_bytes())
        assert not caught, path.name
        assert time.monotonic() - began < 5, path.name
        if isinstance(result, CompressedImage):
            assert len(result.body) <= path.stat().st_size, path.name


def test_every_valid_picture_of_the_png_suite_is_read():
    for path in files_under("MALFORMED_DIR", "pngsuite/**/*.png"):
        # Its authors begin the names of the broken ones with an x.
        if not path.name.startswith("x"):
            assert isinstance(outcome_of(path.read_bytes()), CompressedImage), path.name

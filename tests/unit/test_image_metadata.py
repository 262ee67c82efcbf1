"""Beside the picture nothing of a file stays, but for the names of author and owner when that is asked for."""

import pytest
from PIL import ExifTags, Image
from PIL.ExifTags import Base

from imagejobs.image import compress
from imagejobs.image_metadata import MAX_NAME_BYTES, read_names, tiff
from imagejobs.options import FORMATS, CompressionOptions
from tests.unit.image_helpers import STORED_BY_ORIENTATION, animate, decode, encode, moving_frames, noise

NAMES = {Base.Artist: "Zoë Müller", Base.Copyright: "© 2026 Zoë Müller"}
KEEP = CompressionOptions(keep_metadata=True)


def exif_of(entries: dict[int, object], orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    for tag, value in entries.items():
        exif[tag] = value.encode() if isinstance(value, str) else value
    exif[Base.Orientation] = orientation
    exif[Base.Model] = "A camera of mine"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif


def names_in(body: bytes) -> dict[int, str]:
    """All entries of EXIF, as text of UTF-8 where they are text."""
    entries = dict(decode(body).getexif())
    return {
        tag: value.encode("latin-1").decode() if isinstance(value, str) else value for tag, value in entries.items()
    }


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
def test_the_names_of_author_and_owner_stay_when_asked_for_and_nothing_else_does(pillow_format, format_name):
    saving = {"compress_level": 0} if pillow_format == "PNG" else {"quality": 97}
    body = encode(noise((300, 200)), pillow_format, exif=exif_of(NAMES), **saving)
    result = compress(body, CompressionOptions(format=format_name, keep_metadata=True))
    assert result.outcome != "unchanged"
    assert names_in(result.body) == NAMES
    assert b"camera" not in result.body


@pytest.mark.parametrize("format_name", FORMATS)
def test_they_go_when_they_are_not_asked_for(format_name):
    body = encode(noise((300, 200)), "JPEG", quality=97, exif=exif_of(NAMES))
    result = compress(body, CompressionOptions(format=format_name))
    assert names_in(result.body) == {}
    assert "Müller".encode() not in result.body


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
def test_a_coded_picture_that_is_kept_carries_them_too(pillow_format):
    best = {"JPEG": {"quality": 15, "progressive": True, "optimize": True}, "PNG": {"optimize": True}}
    body = encode(noise((300, 200)), pillow_format, exif=exif_of(NAMES), **best.get(pillow_format, {"quality": 15}))
    result = compress(body, KEEP)
    assert result.outcome == "unchanged"
    assert names_in(result.body) == NAMES
    assert decode(result.body).tobytes() == decode(body).tobytes()


def test_a_picture_that_was_turned_says_so_no_more():
    stored = noise((300, 200)).transpose(STORED_BY_ORIENTATION[6])
    result = compress(encode(stored, "JPEG", quality=97, exif=exif_of(NAMES, orientation=6)), KEEP)
    assert (decode(result.body).size, names_in(result.body)) == ((300, 200), NAMES)


@pytest.mark.parametrize("pillow_format", ["PNG", "WEBP"])
def test_an_animation_carries_them(pillow_format):
    slow = {"compress_level": 0} if pillow_format == "PNG" else {"quality": 100, "kmin": 0, "kmax": 1}
    body = animate(moving_frames(), pillow_format, duration=100, exif=exif_of(NAMES), **slow)
    result = compress(body, KEEP)
    assert result.outcome == "smaller"
    assert names_in(result.body) == NAMES


def test_a_name_has_no_control_characters_and_an_end():
    hostile = {Base.Artist: "Ann\x1b[2J\r\n\x07 Bee", Base.Copyright: "ü" * 5_000}
    picture = decode(encode(noise(), "JPEG", exif=exif_of(hostile)))
    (artist, ann), (owner, long) = read_names(picture)
    assert (artist, ann) == (Base.Artist, b"Ann[2J Bee")
    assert (owner, long) == (Base.Copyright, "ü".encode() * (MAX_NAME_BYTES // 2))


@pytest.mark.parametrize("value", [" ", "\x00\x01", ""])
def test_a_name_of_nothing_is_none(value):
    assert read_names(decode(encode(noise(), "JPEG", exif=exif_of({Base.Artist: value})))) == ()


def test_a_name_that_is_no_text_is_none():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x3b\0\x04\0\0\0\x01\0\0\0\x07\0\0\0\0"  # Artist as a number
    assert read_names(decode(encode(noise(), "JPEG", exif=exif))) == ()


def test_nothing_to_say_takes_no_bytes():
    assert tiff(1, ()) == b""

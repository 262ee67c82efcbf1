"""What the first bytes of a picture say, and that a real run says the same."""

import random
from pathlib import Path

import pytest

from imagejobs import errors
from imagejobs.fetch import START_BYTES
from imagejobs.image import compress
from imagejobs.image_header import check_start, is_enough, read_header, read_start
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import animate, encode, files_under, moving_frames, noise
from tests.unit.test_image_limits import gif_claiming, jpeg_claiming, png_claiming, webp_claiming

SAMPLES = Path(__file__).parents[2] / "samples"
PICTURES = {
    "jpeg": encode(noise((200, 150)), "JPEG"),
    "progressive jpeg": encode(noise((200, 150)), "JPEG", progressive=True),
    "jpeg with a profile": encode(noise((200, 150)), "JPEG", icc_profile=random.Random(1).randbytes(150_000)),
    "png": encode(noise((200, 150)), "PNG"),
    "png with a profile": encode(noise((200, 150)), "PNG", icc_profile=random.Random(1).randbytes(90_000)),
    "gif": encode(noise((200, 150), "L"), "GIF"),
    "webp": encode(noise((200, 150)), "WEBP"),
    "lossless webp": encode(noise((200, 150)), "WEBP", lossless=True),
    "animated gif": animate(moving_frames(), "GIF", duration=50),
    "animated png": animate(moving_frames(), "PNG", duration=50),
    "animated webp": animate(moving_frames(), "WEBP", duration=50),
}
BEFORE_DECODING = (errors.FormatUnsupported, errors.ImageTooLarge)


def start_of(body: bytes) -> bytes:
    """As much as a preflight reads of it."""
    size = START_BYTES
    while size < len(body) and not is_enough(body[:size]):
        size *= 2
    return body[:size]


def checked(body: bytes) -> str:
    """What a preflight says: a format, or the code of an error."""
    start = start_of(body)
    try:
        return check_start(start, is_whole=len(start) == len(body)).format
    except errors.ImageError as error:
        return error.code


def compressed(body: bytes) -> str:
    """What a real run says, in the same words."""
    try:
        compress(body, CompressionOptions())
        return read_header(body).format
    except errors.ImageError as error:
        return error.code


@pytest.mark.parametrize("name", PICTURES)
def test_every_start_says_the_size_or_asks_for_more(name):
    body = PICTURES[name]
    whole = read_header(body)
    said = [read_start(body[:size]) for size in (*range(0, 400, 7), *range(400, len(body), 4_999))]
    told = [header for header in said if header]
    assert told
    assert said.index(told[0]) == len(said) - len(told)  # what was said once is said of every longer start
    assert {(header.format, header.width, header.height) for header in told} == {
        (whole.format, whole.width, whole.height)
    }


@pytest.mark.parametrize(("name", "most_bytes"), [("jpeg", 1_000), ("gif", 100), ("webp", 100), ("png", 100)])
def test_a_few_bytes_do_for_a_picture_without_metadata(name, most_bytes):
    assert is_enough(PICTURES[name][:most_bytes])


def test_a_frame_header_behind_much_metadata_is_waited_for():
    body = PICTURES["jpeg with a profile"] + bytes(500_000)
    assert not is_enough(body[:150_000])
    assert (len(start_of(body)), checked(body)) == (8 * START_BYTES, "jpeg")


def test_foreign_content_needs_no_more_than_its_beginning():
    page = b"<!DOCTYPE html><html><head><title>Sign in to see this image</title></head>"
    assert is_enough(page)
    with pytest.raises(errors.FormatUnsupported, match="web page"):
        check_start(page, is_whole=False)


@pytest.mark.parametrize("body", [b"", b"\xff\xd8\xff", PICTURES["png"][:20], b"<html>"], ids=repr)
def test_a_short_file_is_judged_when_it_is_whole(body):
    assert not is_enough(body)
    assert checked(body) == compressed(body)


@pytest.mark.parametrize(
    "body",
    [
        png_claiming(60_000, 60_000),
        jpeg_claiming(60_000, 60_000),
        gif_claiming(60_000, 60_000),
        webp_claiming(16_000, 16_000),
    ],
    ids=["png", "jpeg", "gif", "webp"],
)
def test_too_many_pixels_are_refused_by_the_start(body):
    with pytest.raises(errors.ImageTooLarge, match="megapixels"):
        check_start(body + bytes(100_000), is_whole=False)


@pytest.mark.parametrize(
    "body", [jpeg_claiming(0, 100), png_claiming(100, 0), gif_claiming(0, 0)], ids=["jpeg", "png", "gif"]
)
def test_a_picture_without_a_size_is_unreadable(body):
    assert checked(body) == compressed(body)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.[jpwg][pnei][gbf]*")), ids=lambda path: path.name)
def test_a_preflight_and_a_real_run_say_the_same_of_a_sample(path):
    body = path.read_bytes()
    assert checked(body) == read_header(body).format


def test_a_preflight_and_a_real_run_say_the_same_of_malformed_files():
    """All but damage of pixels, which no header shows: there a preflight finds nothing to refuse."""
    for path in files_under("MALFORMED_DIR"):
        body = path.read_bytes()
        found, came_to = checked(body), compressed(body)
        if found != came_to:
            assert (came_to, path.name) == ("image_unreadable", path.name)
            assert found == read_header(body).format

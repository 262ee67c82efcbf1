"""Bombs are refused by their header, before they cost memory or time."""

import struct
import time
import zlib

import pytest

from imagejobs import errors
from imagejobs.image import compress
from imagejobs.image_header import read_header
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import animate, encode, moving_frames, noise, png_file

SECONDS = 2.0


def refusal_of(body: bytes) -> str:
    began = time.monotonic()
    with pytest.raises(errors.ImageTooLarge) as caught:
        compress(body, CompressionOptions())
    assert time.monotonic() - began < SECONDS
    return caught.value.message


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png_file((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))


def jpeg_claiming(width: int, height: int) -> bytes:
    body = bytearray(encode(noise((16, 16)), "JPEG"))
    struct.pack_into(">HH", body, body.index(b"\xff\xc0") + 5, height, width)
    return bytes(body)


def gif_claiming(width: int, height: int) -> bytes:
    body = bytearray(encode(noise((16, 16), "L"), "GIF"))
    struct.pack_into("<HH", body, 6, width, height)
    return bytes(body)


def webp_claiming(width: int, height: int) -> bytes:
    body = bytearray(encode(noise((16, 16)), "WEBP"))
    struct.pack_into("<HH", body, 26, width, height)
    return bytes(body)


@pytest.mark.parametrize(
    ("body", "size"),
    [
        (png_claiming(60_000, 60_000), "60000 x 60000"),
        (jpeg_claiming(60_000, 60_000), "60000 x 60000"),
        (gif_claiming(60_000, 60_000), "60000 x 60000"),
        (webp_claiming(16_000, 16_000), "16000 x 16000"),
    ],
    ids=["png", "jpeg", "gif", "webp"],
)
def test_a_header_that_claims_too_many_pixels_is_refused_with_its_size(body, size):
    message = refusal_of(body)
    assert size in message
    assert "50 megapixels" in message


def test_a_gif_frame_outside_the_canvas_counts():
    body = bytearray(encode(noise((16, 16), "L"), "GIF"))
    # The frame's descriptor stands behind the screen's and a palette of 256 colours.
    struct.pack_into("<HH", body, 13 + 3 * 256 + 5, 60_000, 60_000)
    assert "60000 x 60000" in refusal_of(bytes(body))


def progressive_jpeg_with_scans(count: int) -> bytes:
    body = encode(noise((64, 64)), "JPEG", progressive=True)
    last_scan = body[body.rindex(b"\xff\xda") : -2]
    missing = count - read_header(body).scans
    return body[:-2] + last_scan * missing + body[-2:]


def test_a_jpeg_of_thousands_of_scans_is_refused():
    assert "100 scans" in refusal_of(progressive_jpeg_with_scans(20_000))


def test_a_jpeg_of_a_hundred_scans_is_read():
    body = progressive_jpeg_with_scans(100)
    assert read_header(body).scans == 100
    assert compress(body, CompressionOptions()).width == 64


def test_scan_markers_in_metadata_do_not_count():
    body = encode(noise((64, 64)), "JPEG", exif=b"Exif\0\0" + b"\xff\xda" * 500)
    assert read_header(body).scans == 1


def test_too_many_frames_are_refused():
    gif = animate(moving_frames(count=3), "GIF", duration=20)
    frame = gif[gif.rindex(b"!\xf9") : -1]
    assert "1,000 frames" in refusal_of(gif[:-1] + frame * 1_000 + b";")
    control = struct.pack(">II", 1_000_000, 0)
    png = encode(noise((16, 16)), "PNG")
    chunk = png_file((b"acTL", control))[8:]
    assert "1,000 frames" in refusal_of(png[:33] + chunk + png[33:])


def test_too_many_pixels_over_all_frames_are_refused():
    png = encode(noise((16, 16)), "PNG")
    header = png_file((b"IHDR", struct.pack(">IIBBBBB", 5_000, 5_000, 8, 2, 0, 0, 0)))
    control = png_file((b"acTL", struct.pack(">II", 11, 0)))[8:]
    assert "250 megapixels" in refusal_of(header + control + png[33:])


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_the_header_is_read_as_pillow_reads_it(pillow_format):
    body = encode(noise((123, 45), "L" if pillow_format == "GIF" else "RGB"), pillow_format)
    header = read_header(body)
    assert (header.format, header.width, header.height) == (pillow_format.lower(), 123, 45)
    assert header.frames == 1


@pytest.mark.parametrize("pillow_format", ["PNG", "WEBP", "GIF"])
def test_frames_are_counted_from_the_header(pillow_format):
    header = read_header(animate(moving_frames("RGBA", count=7), pillow_format, duration=50))
    assert (header.width, header.height, header.frames) == (160, 100, 7)


@pytest.mark.parametrize(("lossless", "mode"), [(True, "RGB"), (True, "RGBA"), (False, "RGB"), (False, "RGBA")])
@pytest.mark.parametrize("animated", [False, True])
def test_webp_is_known_as_lossless_or_lossy(lossless, mode, animated):
    frames = moving_frames(mode, count=3 if animated else 1)
    assert read_header(animate(frames, "WEBP", lossless=lossless)).lossless is lossless


def test_a_second_header_that_claims_more_is_refused_as_well():
    png = encode(noise((16, 16)), "PNG")
    second = png_claiming(9_000, 9_000)[8:33]
    assert "9000 x 9000" in refusal_of(png[:33] + second + png[33:])


def test_running_out_of_memory_is_a_refusal_and_no_crash(monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr("imagejobs.image.open_picture", exhausted)
    assert "memory" in refusal_of(encode(noise(), "PNG"))

"""Animations keep their frames, their timing, their loop and what shows through."""

import struct
import zlib

import pytest
from PIL import Image

from imagejobs.image import compress
from imagejobs.image_header import read_header
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import (
    animate,
    decode,
    encode,
    files_under,
    frame_durations,
    in_srgb,
    is_close,
    mean_delta_e,
    moving_frames,
    png_file,
    rgb_profile,
    soft_colours,
)

DURATIONS_MS = [100, 250, 40, 90, 1000]
WASTEFUL = {
    "GIF": {"optimize": False},
    "PNG": {"compress_level": 0},
    "WEBP": {"quality": 100, "kmin": 0, "kmax": 1},
}


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("pillow_format", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("loop", [0, 3])
def test_frames_timing_and_loop_are_kept(pillow_format, mode, loop):
    disposal = {"disposal": 2} if pillow_format == "GIF" and mode == "RGBA" else {}
    saving = WASTEFUL[pillow_format] | disposal
    body = animate(moving_frames(mode), pillow_format, duration=DURATIONS_MS, loop=loop, **saving)
    result = compress(body, CompressionOptions())
    assert len(result.body) <= len(body)
    assert frame_durations(result.body) == frame_durations(body) == DURATIONS_MS
    assert decode(result.body).info["loop"] == loop
    assert (result.width, result.height) == decode(result.body).size == (160, 100)


@pytest.mark.parametrize("pillow_format", ["PNG", "WEBP"])
def test_a_wasteful_animation_gets_smaller(pillow_format):
    body = animate(moving_frames(), pillow_format, duration=100, **WASTEFUL[pillow_format])
    assert compress(body, CompressionOptions()).outcome == "smaller"


def test_a_gif_that_plays_once_is_not_made_to_loop():
    body = animate(moving_frames(), "GIF", duration=100)
    assert "loop" not in decode(compress(body, CompressionOptions()).body).info


@pytest.mark.parametrize("pillow_format", ["GIF", "PNG"])
def test_lossless_animations_keep_every_pixel_of_every_frame(pillow_format):
    body = animate(moving_frames("RGB"), pillow_format, duration=100, **WASTEFUL[pillow_format])
    before, after = decode(body), decode(compress(body, CompressionOptions()).body)
    for index in range(before.n_frames):
        before.seek(index)
        after.seek(index)
        assert before.convert("RGB").tobytes() == after.convert("RGB").tobytes()


@pytest.mark.parametrize("pillow_format", ["GIF", "PNG", "WEBP"])
def test_what_shows_through_still_does(pillow_format):
    disposal = {"disposal": 2} if pillow_format == "GIF" else {}
    body = animate(moving_frames("RGBA"), pillow_format, duration=100, **WASTEFUL[pillow_format], **disposal)
    output = decode(compress(body, CompressionOptions()).body)
    for index in range(output.n_frames):
        output.seek(index)
        assert output.convert("RGBA").getpixel((158, 2))[3] == 0
        assert output.convert("RGBA").getpixel((25 + 20 * index, 45))[3] == 255


def test_a_frame_rate_that_is_no_whole_number_of_milliseconds_is_kept():
    body = animate(moving_frames(), "PNG", duration=1000 / 30, compress_level=0)
    result = compress(body, CompressionOptions())
    assert result.outcome == "smaller"
    assert frame_durations(result.body) == pytest.approx([1000 / 30] * 5)


def test_an_animation_whose_still_stand_in_is_no_frame_is_left_alone():
    frames = moving_frames()
    body = animate(frames, "PNG", default_image=True, duration=100, compress_level=0)
    result = compress(body, CompressionOptions())
    assert result.outcome == "unchanged"
    assert decode(result.body).default_image
    assert frame_durations(result.body) == frame_durations(body)


def test_third_party_gifs_keep_frames_and_timing():
    for path in files_under("CORPUS_DIR", "gif/*.gif"):
        body = path.read_bytes()
        assert frame_durations(compress(body, CompressionOptions()).body) == frame_durations(body)


@pytest.mark.parametrize("format_name", ["webp", "auto"])
@pytest.mark.parametrize("pillow_format", ["GIF", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_animation_becomes_an_animated_webp_of_the_same_frames_and_timing(pillow_format, mode, format_name):
    saving = {"GIF": {"disposal": 2}, "PNG": WASTEFUL["PNG"]}[pillow_format]
    body = animate(moving_frames(mode), pillow_format, duration=DURATIONS_MS, loop=0, **saving)
    result = compress(body, CompressionOptions(format=format_name))
    output = decode(result.body)
    assert (result.outcome, result.format, output.format) == ("converted", "webp", "WEBP")
    assert frame_durations(result.body) == DURATIONS_MS
    assert output.info["loop"] == 0
    for index in range(output.n_frames):
        output.seek(index)
        assert output.convert("RGBA").getpixel((158, 2))[3] == (0 if mode == "RGBA" else 255)
        assert is_close(output.convert("RGB").getpixel((25 + 20 * index, 45)), (250, 40, 30 + index))


@pytest.mark.parametrize(("repetitions", "plays"), [(None, 1), (0, 0), (1, 2), (3, 4), (65_535, 65_535)])
def test_a_webp_plays_as_often_as_the_gif_that_it_was(repetitions, plays):
    loop = {} if repetitions is None else {"loop": repetitions}
    result = compress(animate(moving_frames(), "GIF", duration=100, **loop), CompressionOptions(format="webp"))
    assert (result.format, decode(result.body).info["loop"]) == ("webp", plays)


def test_a_png_plays_as_often_as_a_webp():
    body = animate(moving_frames(), "PNG", duration=100, loop=3, **WASTEFUL["PNG"])
    result = compress(body, CompressionOptions(format="webp"))
    assert (result.format, decode(result.body).info["loop"]) == ("webp", 3)


@pytest.mark.parametrize("format_name", ["jpeg", "avif"])
@pytest.mark.parametrize("pillow_format", ["GIF", "PNG", "WEBP"])
def test_an_animation_keeps_its_format_where_the_one_asked_for_is_for_stills(pillow_format, format_name):
    body = animate(moving_frames(), pillow_format, duration=DURATIONS_MS, **WASTEFUL[pillow_format])
    result = compress(body, CompressionOptions(format=format_name))
    assert result == compress(body, CompressionOptions())
    assert result.format == pillow_format.lower()


def test_a_gif_whose_frames_a_webp_would_merge_stays_a_gif():
    first, second, *_ = moving_frames()
    body = _gif_of([first, second, second, first])
    result = compress(body, CompressionOptions(format="webp"))
    assert result.format == "gif"
    assert frame_durations(result.body) == frame_durations(body) == [100] * 4


WIDE = rgb_profile(((0.610, 0.311, 0.019), (0.205, 0.626, 0.061), (0.149, 0.063, 0.745)), gamma=2.2)
LOSSLESS = {"lossless": True, "quality": 0, "method": 0}


def coloured_frames(mode: str) -> list[Image.Image]:
    if mode == "P":
        palette = soft_colours("P")
        return [soft_colours("RGB").rotate(90 * index).quantize(palette=palette) for index in range(3)]
    return moving_frames(mode, count=3)


@pytest.mark.parametrize(
    ("pillow_format", "saving", "mode", "wish", "keep_wide_gamut", "distance"),
    [
        ("PNG", WASTEFUL["PNG"], "RGB", "keep", False, 0.01),
        ("PNG", WASTEFUL["PNG"], "RGB", "keep", True, 0.01),
        ("PNG", WASTEFUL["PNG"], "RGBA", "keep", False, 0.01),
        ("PNG", WASTEFUL["PNG"], "P", "keep", False, 0.01),
        ("PNG", WASTEFUL["PNG"], "RGB", "webp", False, 1.5),
        ("PNG", WASTEFUL["PNG"], "RGB", "webp", True, 1.5),
        ("WEBP", LOSSLESS, "RGB", "keep", False, 0.01),
        ("WEBP", LOSSLESS, "RGB", "keep", True, 0.01),
        ("WEBP", WASTEFUL["WEBP"], "RGB", "keep", False, 1.5),
        ("WEBP", WASTEFUL["WEBP"], "RGB", "keep", True, 1.5),
    ],
)
def test_frames_that_are_coded_anew_are_so_in_srgb(pillow_format, saving, mode, wish, keep_wide_gamut, distance):
    body = animate(coloured_frames(mode), pillow_format, duration=[100, 250, 40], loop=3, icc_profile=WIDE, **saving)
    result = compress(body, CompressionOptions(95, wish, keep_wide_gamut=keep_wide_gamut))
    before, after = decode(body), decode(result.body)
    assert result.outcome == ("smaller" if wish == "keep" else "converted")
    assert after.info.get("icc_profile") == (WIDE if keep_wide_gamut else None)
    assert (frame_durations(result.body), after.info["loop"]) == ([100, 250, 40], 3)
    for index in range(3):
        before.seek(index)
        after.seek(index)
        seen = in_srgb(after, WIDE) if keep_wide_gamut else after
        assert mean_delta_e(seen, in_srgb(before, WIDE)) < distance


def test_a_deep_animation_with_a_transparent_colour_is_left_alone():
    """Pillow reads eight of its sixteen bits, and so would not find the colour."""
    rows = b"".join(b"\0" + struct.pack(">6H", *[65_535] * 3, *[shade] * 3) for shade in range(30))
    control = struct.pack(">5I2H2B", 0, 2, 30, 0, 0, 1, 10, 0, 0)
    body = png_file(
        (b"IHDR", struct.pack(">IIBBBBB", 2, 30, 16, 2, 0, 0, 0)),
        (b"tRNS", b"\xff" * 6),
        (b"acTL", struct.pack(">II", 2, 0)),
        (b"fcTL", control),
        (b"IDAT", zlib.compress(rows, 0)),
        (b"fcTL", b"\0\0\0\1" + control[4:]),
        (b"fdAT", b"\0\0\0\2" + zlib.compress(rows[::-1][:-1] + b"\0", 0)),
        (b"IEND", b""),
    )
    assert read_header(body).frames == 2
    assert compress(body, CompressionOptions()).body == body


def _gif_of(frames: list[Image.Image]) -> bytes:
    """Frame by frame, for Pillow merges equal ones too."""
    files = [encode(frame.convert("RGB").quantize(16), "GIF") for frame in frames]
    control = b"!\xf9\4\0\x0a\0\0\0"
    head = files[0][:10] + b"\0" + files[0][11:13]
    return head + b"".join(control + _with_local_palette(file) for file in files) + b";"


def _with_local_palette(gif: bytes) -> bytes:
    size_bits = gif[10] & 7
    palette_end = 13 + (3 << size_bits + 1)
    start = gif.index(b",", palette_end)
    return gif[start : start + 9] + bytes((0x80 | size_bits,)) + gif[13:palette_end] + gif[start + 10 : -1]

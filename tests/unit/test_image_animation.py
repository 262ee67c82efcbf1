"""Animations keep their frames, their timing, their loop and what shows through."""

import pytest

from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import animate, decode, files_under, frame_durations, moving_frames

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

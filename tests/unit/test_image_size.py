"""A picture is made to fit: upright, in its aspect, never larger than it was, and with clean edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from imagejobs.image import compress
from imagejobs.image_size import fitting_size
from imagejobs.options import FORMATS, CompressionOptions
from tests.unit.image_helpers import (
    animate,
    as_seen,
    corners,
    decode,
    encode,
    encode_oriented,
    frame_durations,
    is_close,
    moving_frames,
    noise,
    quadrants,
)

SIDES = st.integers(1, 70_000)
LIMITS = st.one_of(st.none(), SIDES)


@given(width=SIDES, height=SIDES, max_width=LIMITS, max_height=LIMITS)
def test_a_size_fits_is_no_larger_and_keeps_the_aspect_to_the_pixel(width, height, max_width, max_height):
    wide, high = fitting_size((width, height), max_width, max_height)
    assert 1 <= wide <= min(width, max_width or width)
    assert 1 <= high <= min(height, max_height or height)
    assert abs(wide * height - high * width) <= max(width, height)  # one pixel of the shorter side
    if (wide, high) != (width, height):
        assert wide == max_width or high == max_height


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_made_to_fit(pillow_format, format_name):
    body = encode(noise((400, 300)), pillow_format)
    result = compress(body, CompressionOptions(format=format_name, max_width=100, max_height=90))
    assert decode(result.body).size == (result.width, result.height) == (100, 75)
    assert result.outcome == ("smaller" if result.format == pillow_format.lower() else "converted")


def test_a_picture_within_the_limits_is_not_touched():
    body = encode(noise((100, 80)), "JPEG", quality=30, progressive=True, optimize=True)
    limited = compress(body, CompressionOptions(max_width=100, max_height=500))
    assert limited == compress(body, CompressionOptions())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG"])
def test_the_limits_are_those_of_the_upright_picture(pillow_format, orientation):
    body = encode_oriented(quadrants(240, 160), orientation, pillow_format, quality=95)
    output = as_seen(compress(body, CompressionOptions(max_width=120)).body)
    assert output.size == (120, 80)
    assert all(map(is_close, corners(output), corners(quadrants())))


@pytest.mark.parametrize(
    ("size", "most", "decoded"), [((1600, 1200), 400, (400, 300)), ((1600, 1200), 500, (800, 600))]
)
def test_a_jpeg_is_decoded_no_larger_than_it_needs_to_be(monkeypatch, size, most, decoded):
    seen = []
    monkeypatch.setattr("imagejobs.image.resized", lambda picture, wanted: seen.append(picture.size) or picture)
    compress(encode(noise(size), "JPEG"), CompressionOptions(max_width=most))
    assert seen == [decoded]


def test_colours_of_transparent_pixels_do_not_bleed_into_the_visible():
    picture = Image.new("RGBA", (400, 400), (0, 255, 0, 0))
    ImageDraw.Draw(picture).ellipse((100, 100, 300, 300), fill=(200, 0, 0, 255))
    body = encode(picture, "PNG", compress_level=0)
    output = decode(compress(body, CompressionOptions(max_width=90)).body).convert("RGBA")
    edge = [colour for _, colour in output.getcolors(10_000) if colour[3] > 10]
    assert any(alpha < 250 for *_, alpha in edge)
    assert max(green for _, green, _, _ in edge) < 20


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_a_png_can_be_made_smaller(mode):
    picture = noise((300, 200)).quantize(60) if mode == "P" else noise((300, 200), "L" if mode == "I;16" else mode)
    body = encode(picture.convert("I;16") if mode == "I;16" else picture, "PNG", compress_level=0)
    result = compress(body, CompressionOptions(max_height=50))
    assert decode(result.body).size == (75, 50)


def test_a_transparent_colour_of_a_palette_becomes_soft_alpha():
    picture = quadrants(240, 160).quantize(4)
    body = encode(picture, "PNG", transparency=picture.getpixel((5, 5)), compress_level=0)
    output = decode(compress(body, CompressionOptions(max_width=60)).body).convert("RGBA")
    assert output.getpixel((2, 2))[3] == 0
    assert output.getpixel((57, 2))[3] == 255


def test_a_picture_that_would_grow_is_made_to_fit_at_a_lower_quality():
    body = encode(noise((300, 200)), "JPEG", quality=30, progressive=True, optimize=True)
    result = compress(body, CompressionOptions(100, max_width=290))
    assert (result.outcome, result.width) == ("smaller", 290)
    assert len(result.body) < len(body)


@pytest.mark.parametrize("format_name", ["keep", "auto"])
@pytest.mark.parametrize("pillow_format", ["GIF", "PNG", "WEBP"])
def test_every_frame_of_an_animation_is_made_to_fit(pillow_format, format_name):
    frames = [frame.resize((320, 200)) for frame in moving_frames("RGBA")]
    disposal = {"disposal": 2} if pillow_format == "GIF" else {}
    body = animate(frames, pillow_format, duration=[100, 250, 40, 90, 1000], loop=0, **disposal)
    result = compress(body, CompressionOptions(format=format_name, max_width=160))
    output = decode(result.body)
    assert output.size == (result.width, result.height) == (160, 100)
    assert frame_durations(result.body) == [100, 250, 40, 90, 1000]
    for index in range(output.n_frames):
        output.seek(index)
        assert output.convert("RGBA").getpixel((158, 2))[3] == 0
        assert output.convert("RGBA").getpixel((25 + 20 * index, 45))[3] == 255

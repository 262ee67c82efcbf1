"""The output's format: the one that was asked for or the smallest, and never more bytes than came in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, PngImagePlugin

from imagejobs import image_encoders
from imagejobs.errors import FormatUnsupported
from imagejobs.image import compress
from imagejobs.image_header import format_of
from imagejobs.image_quality import encoder_quality
from imagejobs.image_result import ENCODERS, MEDIA_TYPES
from imagejobs.options import FORMATS, CompressionOptions
from tests.unit.image_helpers import (
    animate,
    as_seen,
    cmyk_profile,
    corners,
    decode,
    encode,
    encode_oriented,
    files_under,
    is_close,
    moving_frames,
    noise,
    quadrants,
    rgb_profile,
)

WIDE = rgb_profile(((0.610, 0.311, 0.019), (0.205, 0.626, 0.061), (0.149, 0.063, 0.745)), gamma=2.2)
MODES = {
    "JPEG": ["L", "RGB", "CMYK"],
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "GIF": ["1", "L", "P"],
}
CASES = [(pillow_format, mode) for pillow_format, modes in MODES.items() for mode in modes]


def picture_of(mode: str, size: tuple[int, int], seed: int = 1) -> Image.Image:
    if mode == "P":
        return noise(size, "RGB", seed).quantize(64)
    if mode == "I;16":
        grey = noise(size, "L", seed).tobytes()
        return Image.frombytes("I;16", size, b"".join(bytes((value ^ 0x55, value)) for value in grey))
    return noise(size, mode, seed)


def screenshot(mode: str = "RGB") -> Image.Image:
    """Windows and lines of text in a few hundred colours, with sharp edges."""
    picture = Image.new(mode, (640, 400), (250, 250, 250, 255)[: len(mode)])
    draw = ImageDraw.Draw(picture)
    for line in range(30):
        colour = (line * 8, 40, 255 - line * 8, 255)[: len(mode)]
        draw.text((20, 10 + line * 13), f"{line:03d} The quick brown fox jumps over the lazy dog.", fill=colour)
    return picture


def cut_out() -> Image.Image:
    picture = noise((400, 300))
    picture.putalpha(Image.radial_gradient("L").resize((400, 300)).point(lambda level: 255 if level < 150 else 0))
    return picture


# Kind of picture: the file, and of each format that is asked for by which encoder it comes out; by none, unchanged.
KINDS = {
    "photograph JPEG": (
        encode(noise((400, 300)), "JPEG", quality=96),
        {"keep": "jpeg", "jpeg": "jpeg", "webp": "webp", "avif": "avif", "auto": "avif"},
    ),
    "screenshot PNG": (
        encode(screenshot(), "PNG", compress_level=1),
        {"keep": "png", "jpeg": "jpeg", "webp": "webp-lossless", "avif": "avif", "auto": "webp-lossless"},
    ),
    "cut-out PNG": (
        encode(cut_out(), "PNG"),
        {"keep": "png", "jpeg": "jpeg", "webp": "webp", "avif": "avif", "auto": "avif"},
    ),
    "photograph PNG": (
        encode(noise((400, 300)), "PNG"),
        {"keep": "png", "jpeg": "jpeg", "webp": "webp", "avif": "avif", "auto": "avif"},
    ),
    "animated GIF": (
        animate(moving_frames(), "GIF", duration=100, optimize=False),
        {"keep": None, "jpeg": None, "webp": "webp", "avif": None, "auto": "webp"},
    ),
    "CMYK JPEG": (
        encode(noise((400, 300), "CMYK"), "JPEG", quality=96, icc_profile=cmyk_profile((140, 90, 90))),
        {"keep": "jpeg", "jpeg": "jpeg", "webp": "webp", "avif": "avif", "auto": "avif"},
    ),
    "wide-gamut JPEG": (
        encode(noise((400, 300)), "JPEG", quality=96, icc_profile=WIDE),
        {"keep": "jpeg", "jpeg": "jpeg", "webp": "webp", "avif": "avif", "auto": "avif"},
    ),
}


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (encode(noise((400, 300)), "PNG"), "photograph"),
        (encode(noise((400, 300)), "WEBP", lossless=True), "photograph"),
        (encode(picture_of("I;16", (400, 300)), "PNG"), "photograph"),
        (encode(screenshot(), "PNG"), "graphic"),
        (encode(screenshot(), "WEBP", lossless=True), "graphic"),
        (encode(quadrants(), "PNG"), "graphic"),
        (encode(noise((400, 300)), "WEBP"), None),
        (encode(noise((400, 300)), "JPEG"), None),
        (encode(noise((400, 300), "L"), "GIF"), None),
        (animate(moving_frames(), "PNG", duration=50), None),
    ],
)
@pytest.mark.parametrize("format_name", ["keep", "auto"])
def test_of_what_was_stored_without_loss_it_is_told_whether_it_is_a_photograph(body, content, format_name):
    assert compress(body, CompressionOptions(format=format_name)).content == content


def test_a_picture_is_looked_at_once(monkeypatch):
    looks = []
    monkeypatch.setattr(image_encoders, "is_photograph", lambda _: looks.append(1) or True)
    compress(KINDS["photograph PNG"][0], CompressionOptions(format="auto"))
    assert looks == [1]


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_picture_gets_the_coding_that_suits_it(kind, format_name):
    body, encoders = KINDS[kind]
    result = compress(body, CompressionOptions(format=format_name))
    encoder = encoders[format_name]
    assert result.encoder == encoder
    assert result.format == format_of(result.body) == (encoder.partition("-")[0] if encoder else format_of(body))
    changed = "smaller" if result.format == format_of(body) else "converted"
    assert result.outcome == (changed if encoder else "unchanged")
    assert "icc_profile" not in decode(result.body).info


@pytest.mark.parametrize(("pillow_format", "mode"), CASES)
@given(
    format_name=st.sampled_from(FORMATS),
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    most=st.one_of(st.none(), st.integers(1, 100)),
    quality=st.sampled_from([1, 40, 80, 100]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_no_output_is_larger_and_each_is_what_it_says(pillow_format, mode, format_name, width, height, most, quality):
    body = encode(picture_of(mode, (width, height)), pillow_format)
    result = compress(body, CompressionOptions(quality, format_name, max_width=most))
    output = decode(result.body)
    assert len(result.body) <= len(body)
    assert output.format == result.format.upper()
    assert (result.content_type, result.extension) == MEDIA_TYPES[result.format]
    assert output.size == (result.width, result.height)
    assert (result.outcome == "converted") == (result.format != pillow_format.lower())
    assert (result.encoder is None) == (result.outcome == "unchanged")
    assert result.encoder in {None, *ENCODERS}


@pytest.mark.parametrize("format_name", FORMATS[1:])
@pytest.mark.parametrize(("pillow_format", "orientation"), [("JPEG", 6), ("PNG", 8), ("WEBP", 5)])
def test_every_format_comes_out_upright(pillow_format, orientation, format_name):
    body = encode_oriented(quadrants(), orientation, pillow_format, quality=95)
    output = as_seen(compress(body, CompressionOptions(format=format_name)).body)
    assert output.size == (120, 80)
    assert all(map(is_close, corners(output), corners(quadrants())))


@pytest.mark.parametrize("format_name", ["jpeg", "webp", "avif", "auto"])
def test_what_would_not_get_smaller_keeps_its_own_picture(format_name):
    body = encode(noise((300, 200)), "JPEG", quality=20, progressive=True, optimize=True)
    result = compress(body, CompressionOptions(100, format_name))
    assert (result.outcome, result.format, result.encoder) == ("unchanged", "jpeg", None)
    assert decode(result.body).tobytes() == decode(body).tobytes()


@pytest.mark.parametrize("format_name", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("quality", [30, 80])
def test_the_encoder_s_own_number_is_recorded(format_name, quality):
    result = compress(KINDS["photograph PNG"][0], CompressionOptions(quality, format_name))
    assert (result.encoder, result.encoder_quality) == (format_name, encoder_quality(format_name, quality))


def test_coding_without_loss_has_no_number():
    result = compress(encode(quadrants(), "PNG", compress_level=0), CompressionOptions())
    assert (result.encoder, result.encoder_quality) == ("png-palette", None)


def test_few_colours_are_never_coded_with_loss_and_never_larger_than_as_a_png():
    body = encode(quadrants(), "PNG", compress_level=0)
    smallest = compress(body, CompressionOptions(format="auto"))
    assert smallest.encoder in {"png-palette", "webp-lossless"}
    assert len(smallest.body) <= len(compress(body, CompressionOptions()).body)


def test_a_number_of_the_ladder_s_lower_steps_is_recorded_as_it_was_used():
    body = encode_oriented(noise((300, 200)), 6, "JPEG", quality=20, progressive=True, optimize=True)
    assert compress(body, CompressionOptions(95)).encoder_quality < encoder_quality("jpeg", 50)


def test_transparency_stays_in_every_format_that_has_it():
    body = KINDS["cut-out PNG"][0]
    for format_name in ("webp", "avif", "auto"):
        alpha = decode(compress(body, CompressionOptions(format=format_name)).body).getchannel("A")
        assert alpha.getpixel((2, 2)) < 10
        assert alpha.getpixel((200, 150)) > 245


def test_a_jpeg_of_a_cut_out_has_the_background_that_is_asked_for():
    result = compress(KINDS["cut-out PNG"][0], CompressionOptions(format="jpeg", background="3366cc"))
    assert is_close(decode(result.body).getpixel((4, 4)), (0x33, 0x66, 0xCC), 6)


def test_half_transparent_pixels_are_mixed_with_the_background():
    picture = noise((300, 200)).convert("RGBA")
    picture.paste((255, 0, 0, 128), (0, 0, 150, 200))
    result = compress(encode(picture, "PNG", compress_level=1), CompressionOptions(format="jpeg", background="0000ff"))
    assert is_close(decode(result.body).getpixel((50, 100)), (128, 0, 127), 6)


def test_the_background_is_the_same_colour_behind_a_wide_gamut():
    picture = cut_out()
    body = encode(picture, "PNG", icc_profile=WIDE)
    options = CompressionOptions(format="jpeg", background="00a000", keep_wide_gamut=True)
    output = decode(compress(body, options).body)
    assert output.info["icc_profile"] == WIDE
    assert output.getpixel((4, 4))[0] > 80  # Adobe RGB says this green with more red in it


def test_a_png_whose_gamma_only_a_png_can_tell_stays_one():
    body = encode(noise((300, 200)), "PNG", compress_level=0, pnginfo=_gamma(100_000))
    result = compress(body, CompressionOptions(format="auto"))
    assert (result.format, decode(result.body).info["gamma"]) == ("png", 1.0)


def test_the_gamma_that_all_viewers_assume_keeps_no_png():
    body = encode(noise((300, 200)), "PNG", compress_level=0, pnginfo=_gamma(45_455))
    assert compress(body, CompressionOptions(format="auto")).format == "avif"


def test_sixteen_bits_of_grey_become_eight_in_other_formats():
    body = encode(picture_of("I;16", (300, 200)), "PNG")
    output = decode(compress(body, CompressionOptions(format="webp")).body).convert("L")
    assert output.getextrema()[1] - output.getextrema()[0] > 180
    assert output.getextrema()[0] < 40


def test_a_turned_photograph_in_a_well_packed_png_loses_its_lowest_bits_before_its_colours():
    picture = noise((200, 150))
    stored = encode_oriented(picture, 6, "PNG", optimize=True)
    result = compress(stored, CompressionOptions())
    output = decode(result.body)
    assert output.size == (200, 150)
    assert output.mode == "RGB"
    pairs = zip(output.tobytes(), picture.tobytes(), strict=True)
    assert max(abs(left - right) for left, right in pairs) <= 4


def test_avif_is_written_and_never_read():
    body = encode(noise(), "AVIF")
    assert format_of(body) == "avif"
    with pytest.raises(FormatUnsupported, match="AVIF"):
        compress(body, CompressionOptions())


@pytest.mark.parametrize("format_name", FORMATS[1:])
def test_no_real_picture_grows_in_any_format(format_name):
    for path in files_under("CORPUS_DIR"):
        body = path.read_bytes()
        result = compress(body, CompressionOptions(format=format_name))
        output = decode(result.body)
        assert len(result.body) <= len(body), path.name
        assert output.size == as_seen(body).size == (result.width, result.height), path.name


def _gamma(value: int) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", value.to_bytes(4, "big"))
    return info

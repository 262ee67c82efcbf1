"""The output's format: the one that was asked for or the smallest, and never more bytes than came in."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageDraw, PngImagePlugin
from PIL.JpegImagePlugin import get_sampling

from imagejobs import image_encoders
from imagejobs.errors import FormatUnsupported
from imagejobs.image import compress
from imagejobs.image_header import format_of
from imagejobs.image_quality import encoder_quality
from imagejobs.image_result import ENCODERS, MEDIA_TYPES
from imagejobs.image_size import fitting_size
from imagejobs.options import EFFORTS, FORMATS, CompressionOptions
from tests.unit.image_helpers import (
    CASES,
    animate,
    as_seen,
    cmyk_profile,
    corners,
    decode,
    encode,
    encode_oriented,
    files_under,
    grey_profile,
    is_close,
    moving_frames,
    noise,
    picture_of,
    quadrants,
    rgb_profile,
    soft_colours,
)

WIDE = rgb_profile(((0.610, 0.311, 0.019), (0.205, 0.626, 0.061), (0.149, 0.063, 0.745)), gamma=2.2)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def screenshot(mode: str = "RGB") -> Image.Image:
    """Windows and lines of text in a few hundred colours, with sharp edges."""
    picture = Image.new(mode, (640, 400), (250, 250, 250, 255)[: len(mode)])
    draw = ImageDraw.Draw(picture)
    for line in range(30):
        colour = (line * 8, 40, 255 - line * 8, 255)[: len(mode)]
        draw.text((20, 10 + line * 13), f"{line:03d} The quick brown fox jumps over the lazy dog.", fill=colour)
    return picture


def photograph(size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Soft colours under grey grain: no colour changes within a pixel or two."""
    grain = noise(size, "L").convert("RGB")
    return Image.blend(soft_colours("RGB", size), grain, 0.25)


def cut_out() -> Image.Image:
    picture = photograph()
    picture.putalpha(Image.radial_gradient("L").resize((400, 300)).point(lambda level: 255 if level < 150 else 0))
    return picture


def product_shot() -> Image.Image:
    """A thing on white, with a soft edge."""
    picture = Image.new("RGB", (400, 300), "white")
    edge = Image.radial_gradient("L").resize((400, 300)).point(lambda level: max(0, min(255, (150 - level) * 8)))
    picture.paste(photograph(), (0, 0), edge)
    return picture


def chart() -> Image.Image:
    picture = Image.new("RGB", (400, 300), "white")
    for bar in range(12):
        left, colour = 20 + bar * 30, (bar * 20, 90, 200 - bar * 10)
        ImageDraw.Draw(picture).rectangle((left, 280 - bar * 20, left + 20, 280), fill=colour)
    return picture


def red_text() -> Image.Image:
    page = Image.new("RGB", (400, 300), "white")
    for top in range(4, 300, 20):
        ImageDraw.Draw(page).text((4, top), "The quick brown fox, 19.99 EUR", fill=(255, 0, 0))
    return page


LIGHTLY = {"lossless": True, "quality": 0, "method": 0}
FOR_PRINT = cmyk_profile((140, 90, 90))
PACKED = encode(photograph(), "JPEG", quality=20, progressive=True, optimize=True)

# Kind of picture: the file, and its coding in each format that is asked for, in the order of FORMATS: keep, jpeg, webp,
# avif, auto. None is the coded picture that came.
CODINGS: dict[str, tuple[bytes, list[str | None]]] = {
    "photograph JPEG": (
        encode(photograph(), "JPEG", quality=96),
        ["jpeg 4:2:0", "jpeg 4:2:0", "webp", "avif 4:2:0", "avif 4:2:0"],
    ),
    "well-packed JPEG": (PACKED, [None] * 5),
    "product shot JPEG": (
        encode(product_shot(), "JPEG", quality=96),
        ["jpeg 4:2:0", "jpeg 4:2:0", "webp", "avif 4:2:0", "avif 4:2:0"],
    ),
    "product shot PNG": (
        encode(product_shot(), "PNG"),
        ["png", "jpeg 4:2:0", "webp", "avif 4:2:0", "avif 4:2:0"],
    ),
    "red text JPEG, colours whole": (
        encode(red_text(), "JPEG", quality=96, subsampling=0),
        ["jpeg 4:4:4", "jpeg 4:4:4", "webp", "avif 4:4:4", "avif 4:4:4"],
    ),
    "red text JPEG, colours halved": (
        encode(red_text(), "JPEG", quality=96),
        ["jpeg 4:2:0", "jpeg 4:2:0", "webp", "avif 4:2:0", "avif 4:2:0"],
    ),
    "grey JPEG": (
        encode(noise((400, 300), "L"), "JPEG", quality=96),
        ["jpeg 4:0:0", "jpeg 4:0:0", "webp", "avif 4:0:0", "avif 4:0:0"],
    ),
    "CMYK JPEG": (
        encode(noise((400, 300), "CMYK"), "JPEG", quality=96, icc_profile=FOR_PRINT),
        ["jpeg 4:2:0", "jpeg 4:2:0", "webp", "avif 4:2:0", "avif 4:2:0"],
    ),
    "wide-gamut JPEG": (
        encode(photograph(), "JPEG", quality=96, icc_profile=WIDE),
        ["jpeg 4:2:0", "jpeg 4:2:0", "webp", "avif 4:2:0", "avif 4:2:0"],
    ),
    "screenshot PNG": (
        encode(screenshot(), "PNG", compress_level=1),
        ["png", "jpeg 4:4:4", "webp-lossless", "avif 4:4:4", "webp-lossless"],
    ),
    "chart PNG": (
        encode(chart(), "PNG", compress_level=1),
        ["png-palette", None, "webp-lossless", None, "webp-lossless"],
    ),
    "photograph PNG": (
        encode(photograph(), "PNG"),
        ["png", "jpeg 4:2:0", "webp", "avif 4:2:0", "avif 4:2:0"],
    ),
    "photograph PNG of 16 bits of grey": (
        encode(picture_of("I;16", (400, 300)), "PNG", compress_level=0),
        ["png", "jpeg 4:0:0", "webp", "avif 4:0:0", "avif 4:0:0"],
    ),
    "cut-out PNG": (
        encode(cut_out(), "PNG"),
        ["png", "jpeg 4:2:0", "webp", "avif 4:2:0", "avif 4:2:0"],
    ),
    "lossy WebP": (
        encode(photograph(), "WEBP", quality=96),
        ["webp", "jpeg 4:2:0", "webp", "avif 4:2:0", "avif 4:2:0"],
    ),
    "lossless WebP of a photograph": (
        encode(photograph(), "WEBP", **LIGHTLY),
        ["webp-lossless", "jpeg 4:2:0", "webp-lossless", "avif 4:2:0", "avif 4:2:0"],
    ),
    "lossless WebP of a screenshot": (
        encode(screenshot(), "WEBP", **LIGHTLY),
        ["webp-lossless", "jpeg 4:4:4", "webp-lossless", "avif 4:4:4", "webp-lossless"],
    ),
    "chart GIF": (encode(chart(), "GIF"), [None, None, "webp-lossless", "avif 4:4:4", "webp-lossless"]),
    "animated GIF": (animate(moving_frames(), "GIF", duration=100, optimize=False), [None, None, "webp", None, "webp"]),
    "animated PNG": (
        animate(moving_frames(), "PNG", duration=100, compress_level=0),
        ["png", "png", "webp", "png", "webp"],
    ),
    "animated WebP": (animate(moving_frames(), "WEBP", duration=100, quality=100, kmin=0, kmax=1), ["webp"] * 5),
}


def chroma_of(body: bytes) -> str:
    """The chroma of a JPEG or AVIF, as J:a:b; "" for what has no choice of it."""
    if format_of(body) == "jpeg":
        picture = decode(body)
        return "4:0:0" if picture.layers == 1 else {0: "4:4:4", 2: "4:2:0"}[get_sampling(picture)]
    if format_of(body) == "avif":
        flags = body[body.index(b"av1C") + 6]  # AV1 in ISOBMFF 2.3.3: monochrome, and chroma halved across and down
        return {0x00: "4:4:4", 0x0C: "4:2:0", 0x1C: "4:0:0"}[flags & 0x1C]
    return ""


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
    compress(CODINGS["photograph PNG"][0], CompressionOptions(format="auto"))
    assert looks == [1]


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("kind", CODINGS)
def test_each_kind_of_picture_gets_the_coding_that_suits_it(kind, format_name):
    body, codings = CODINGS[kind]
    coding = codings[FORMATS.index(format_name)]
    result = compress(body, CompressionOptions(format=format_name))
    assert (f"{result.encoder} {chroma_of(result.body)}".strip() if result.encoder else None) == coding
    assert result.format == format_of(result.body) == (re.split("[- ]", coding)[0] if coding else format_of(body))
    changed = "smaller" if result.format == format_of(body) else "converted"
    assert result.outcome == (changed if coding else "unchanged")
    assert "icc_profile" not in decode(result.body).info


SIDES = st.integers(1, 90)
MOST = st.one_of(st.none(), st.integers(1, 100))
OPTIONS = st.builds(
    CompressionOptions,
    quality=st.sampled_from([1, 40, 80, 100]),
    format=st.sampled_from(FORMATS),
    effort=st.sampled_from(EFFORTS),
    max_width=MOST,
    max_height=MOST,
    background=st.sampled_from(["ffffff", "3366cc"]),
    keep_metadata=st.booleans(),
    keep_wide_gamut=st.booleans(),
)
SECRET = "taken at home"
AUTHOR = "Zoe"
PROFILES = {"none": None, "sRGB": SRGB, "wide": WIDE, "of grey": grey_profile(1.0), "damaged": b"no profile" * 20}


def with_everything(picture: Image.Image, pillow_format: str, orientation: int, profile: bytes | None) -> bytes:
    """A file with all that may lie beside a picture."""
    if pillow_format == "GIF":
        return encode(picture, "GIF", comment=SECRET.encode())
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Artist] = AUTHOR
    exif[ExifTags.Base.ImageDescription] = SECRET
    beside: dict[str, object] = {"exif": exif, "icc_profile": profile}
    if pillow_format == "PNG":
        beside["pnginfo"] = PngImagePlugin.PngInfo()
        beside["pnginfo"].add_itxt("XML:com.adobe.xmp", SECRET)
        beside["pnginfo"].add_text("Comment", SECRET)
    else:
        beside["xmp"] = SECRET.encode()
    return encode(picture, pillow_format, **beside, **({"comment": SECRET} if pillow_format == "JPEG" else {}))


@pytest.mark.parametrize(("pillow_format", "mode"), CASES)
@given(
    size=st.tuples(SIDES, SIDES),
    orientation=st.integers(1, 8),
    profile=st.sampled_from(sorted(PROFILES)),
    options=OPTIONS,
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_whatever_comes_and_is_asked_for_the_output_is_small_upright_bare_and_what_it_says(
    pillow_format, mode, size, orientation, profile, options
):
    body = with_everything(picture_of(mode, size), pillow_format, orientation, PROFILES[profile])
    result = compress(body, options)
    output, before = decode(result.body), as_seen(body)
    assert len(result.body) <= len(body)
    assert output.format == result.format.upper()
    assert (result.content_type, result.extension) == MEDIA_TYPES[result.format]
    assert (result.outcome == "converted") == (result.format != pillow_format.lower())
    assert (result.encoder is None) == (result.outcome == "unchanged")
    assert result.encoder in {None, *ENCODERS}
    turned = 1 if pillow_format == "GIF" else orientation
    fitting = fitting_size(before.size, options.max_width, options.max_height)
    expected = before.size if result.outcome == "unchanged" else fitting
    assert as_seen(result.body).size == (result.width, result.height) == expected
    assert SECRET.encode() not in result.body
    entries = dict(output.getexif())
    assert entries.pop(ExifTags.Base.Orientation, 1) == (turned if result.outcome == "unchanged" else 1)
    assert entries in ({}, {ExifTags.Base.Artist: AUTHOR} if options.keep_metadata else {})
    if result.outcome != "unchanged" and options.keep_metadata and pillow_format != "GIF":
        assert entries
    if not options.keep_wide_gamut and result.outcome != "unchanged" and mode != "I;16":
        assert "icc_profile" not in output.info


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
    result = compress(CODINGS["photograph PNG"][0], CompressionOptions(quality, format_name))
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
    body = CODINGS["cut-out PNG"][0]
    for format_name in ("webp", "avif", "auto"):
        alpha = decode(compress(body, CompressionOptions(format=format_name)).body).getchannel("A")
        assert alpha.getpixel((2, 2)) < 10
        assert alpha.getpixel((200, 150)) > 245


def test_a_jpeg_of_a_cut_out_has_the_background_that_is_asked_for():
    result = compress(CODINGS["cut-out PNG"][0], CompressionOptions(format="jpeg", background="3366cc"))
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


@pytest.mark.parametrize("pattern", ["[cgm]*/*", pytest.param("*/*", marks=pytest.mark.long)])
@pytest.mark.parametrize("format_name", FORMATS[1:])
def test_no_real_picture_grows_in_any_format(format_name, pattern):
    for path in files_under("CORPUS_DIR", pattern):
        body = path.read_bytes()
        result = compress(body, CompressionOptions(format=format_name))
        output = decode(result.body)
        assert len(result.body) <= len(body), path.name
        assert output.size == as_seen(body).size == (result.width, result.height), path.name


def _gamma(value: int) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", value.to_bytes(4, "big"))
    return info

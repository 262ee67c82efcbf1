"""Colours stay true: profiles, CMYK, transparency, gamma; other metadata goes."""

import io
import random
import struct
import zlib

import pytest
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageStat, PngImagePlugin

from imagejobs.image import compress
from imagejobs.image_header import PNG_COLOUR_CHUNKS, png_chunks
from imagejobs.image_rebuild import rebuild
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import (
    cmyk_profile,
    decode,
    encode,
    encode_oriented,
    files_under,
    grey_profile,
    in_srgb,
    is_close,
    mean_delta_e,
    noise,
    png_file,
    rgb_profile,
    soft_colours,
)

GREY_LINEAR = grey_profile(gamma=1.0)
DISPLAY_P3 = rgb_profile(((0.515, 0.241, -0.001), (0.292, 0.692, 0.042), (0.157, 0.067, 0.784)), gamma=2.2)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CYAN = (255, 0, 0, 0)
GAMMA_1 = (100_000).to_bytes(4, "big")


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
def test_a_profile_that_is_srgb_is_dropped_and_no_colour_changes(pillow_format):
    saving = {"compress_level": 0} if pillow_format == "PNG" else {"quality": 97}
    body = encode(noise((300, 200)), pillow_format, icc_profile=SRGB, **saving)
    bare = encode(noise((300, 200)), pillow_format, **saving)
    result = compress(body, CompressionOptions())
    assert result.outcome == "smaller"
    assert "icc_profile" not in decode(result.body).info
    assert decode(result.body).tobytes() == decode(compress(bare, CompressionOptions()).body).tobytes()


@pytest.mark.parametrize(
    ("pillow_format", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "LA")],
)
def test_colours_of_a_wide_profile_are_converted_as_a_colour_engine_does(pillow_format, mode):
    picture = soft_colours(mode)
    saving = {
        "PNG": {"compress_level": 0},
        "JPEG": {"quality": 100},
        "WEBP": {"lossless": True, "method": 0, "quality": 0},
    }
    body = encode(picture, pillow_format, icc_profile=DISPLAY_P3, **saving[pillow_format])
    result = compress(body, CompressionOptions(quality=95))
    output = decode(result.body)
    assert result.outcome == "smaller"
    assert "icc_profile" not in output.info
    assert mean_delta_e(output, in_srgb(decode(body), DISPLAY_P3)) < 1.5


def kept_of(picture: Image.Image, pillow_format: str, profile: bytes | None) -> tuple[Image.Image, int]:
    """The coded picture in its new file, with that one's length."""
    body = encode(picture, pillow_format, icc_profile=profile, quality=20)
    kept = rebuild(body, 1)
    assert decode(kept).tobytes() == decode(body).tobytes()
    return decode(kept), len(kept)


@pytest.mark.parametrize(
    ("pillow_format", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB"), ("WEBP", "RGBA")],
)
def test_a_coded_picture_that_is_kept_needs_no_profile_to_be_srgb(pillow_format, mode):
    picture = noise((300, 200)).quantize(200) if mode == "P" else noise((300, 200), mode)
    kept, kept_bytes = kept_of(picture, pillow_format, SRGB)
    bare, bare_bytes = kept_of(picture, pillow_format, None)
    assert "icc_profile" not in kept.info
    assert kept.tobytes() == bare.tobytes()
    assert kept_bytes <= bare_bytes + 18  # a WebP stays one of the extended form


@pytest.mark.parametrize(
    ("pillow_format", "mode", "profile"),
    [
        *((pillow_format, "RGB", DISPLAY_P3) for pillow_format in ("JPEG", "PNG", "WEBP")),
        ("PNG", "P", DISPLAY_P3),
        ("JPEG", "L", GREY_LINEAR),
        ("PNG", "LA", GREY_LINEAR),
    ],
)
def test_a_coded_picture_that_is_kept_keeps_a_profile_that_says_something(pillow_format, mode, profile):
    picture = noise((300, 200)).quantize(200) if mode == "P" else noise((300, 200), mode)
    kept, _ = kept_of(picture, pillow_format, profile)
    assert kept.info["icc_profile"] == profile


def test_of_cmyk_the_profile_stays_with_the_coded_picture():
    profile = cmyk_profile((140, 90, 90))
    kept, _ = kept_of(noise(mode="CMYK"), "JPEG", profile)
    assert kept.info["icc_profile"] == profile


def test_a_picture_that_is_kept_is_handed_out_without_an_idle_profile():
    body = encode(noise((300, 200)), "JPEG", quality=20, progressive=True, optimize=True, icc_profile=SRGB)
    result = compress(body, CompressionOptions())
    assert result.outcome == "unchanged"
    assert len(result.body) < len(body) - len(SRGB)


CICP_OF_P3, CICP_OF_SRGB = bytes((12, 13, 0, 1)), bytes((1, 13, 0, 1))


@pytest.mark.parametrize(
    ("chunks", "profile", "kept_chunks"),
    [
        ({b"gAMA": GAMMA_1}, DISPLAY_P3, set()),
        pytest.param({b"gAMA": GAMMA_1}, SRGB, set(), id="gamma and sRGB's profile"),  # which has the time in it
        ({b"gAMA": GAMMA_1}, b"no profile", {b"gAMA"}),
        ({b"gAMA": GAMMA_1, b"sRGB": b"\0"}, None, set()),
        ({b"cICP": CICP_OF_P3, b"sRGB": b"\0"}, None, {b"cICP", b"sRGB"}),
        ({b"cICP": CICP_OF_SRGB, b"gAMA": GAMMA_1}, None, set()),
        ({b"cICP": CICP_OF_P3}, DISPLAY_P3, {b"cICP", b"iCCP"}),
        ({b"cICP": CICP_OF_SRGB}, DISPLAY_P3, {b"cICP", b"iCCP"}),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_of_what_says_the_colours_of_a_png_that_counts_which_comes_first(chunks, profile, kept_chunks, count):
    info = PngImagePlugin.PngInfo()
    for name, data in chunks.items():
        info.add(name, data)
    frames = [soft_colours("RGB").rotate(90 * index) for index in range(count)]
    moving = {"save_all": True, "append_images": frames[1:], "duration": 50} if count > 1 else {}
    body = encode(frames[0], "PNG", pnginfo=info, icc_profile=profile, compress_level=0, **moving)
    result = compress(body, CompressionOptions(format="auto" if kept_chunks else "keep"))
    assert (result.format, result.outcome) == ("png", "smaller")
    names = {name for name, _ in png_chunks(result.body)}
    assert names & {b"iCCP", *PNG_COLOUR_CHUNKS} == kept_chunks
    converts = profile == DISPLAY_P3 and not kept_chunks
    expected = in_srgb(frames[0], DISPLAY_P3) if converts else frames[0]
    assert decode(result.body).convert("RGB").tobytes() == expected.tobytes()


def test_a_profile_of_grey_is_converted_and_dropped():
    body = encode(soft_colours("L"), "PNG", icc_profile=GREY_LINEAR, compress_level=0)
    output = decode(compress(body, CompressionOptions()).body)
    middle, *_ = ImageStat.Stat(output.crop((148, 0, 152, 200))).mean
    assert "icc_profile" not in output.info
    assert output.mode == "L"
    assert middle == pytest.approx(188, abs=3)  # half of the light: 255 * (1.055 * 0.5 ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_profile_of_other_colours_than_the_picture_s_is_dropped(mode):
    body = encode(noise((300, 200), mode), "PNG", icc_profile=cmyk_profile((140, 90, 90)), compress_level=0)
    output = decode(compress(body, CompressionOptions()).body)
    assert output.tobytes() == decode(body).tobytes()
    assert "icc_profile" not in output.info


@pytest.mark.parametrize("format_name", ["keep", "jpeg", "webp", "avif", "auto"])
def test_a_wide_gamut_stays_with_its_profile_when_it_is_asked_for(format_name):
    body = encode(soft_colours("RGB"), "JPEG", quality=100, icc_profile=DISPLAY_P3)
    result = compress(body, CompressionOptions(95, format_name, keep_wide_gamut=True))
    output = decode(result.body)
    assert output.info["icc_profile"] == DISPLAY_P3
    assert mean_delta_e(in_srgb(output, DISPLAY_P3), in_srgb(decode(body), DISPLAY_P3)) < 1.5


def test_a_gamut_that_is_none_of_the_wide_ones_goes_all_the_same():
    body = encode(soft_colours("RGB"), "JPEG", quality=100, icc_profile=SRGB)
    output = decode(compress(body, CompressionOptions(keep_wide_gamut=True)).body)
    assert "icc_profile" not in output.info


def test_a_palette_stays_one_and_gets_other_colours():
    picture = soft_colours("RGB").quantize(40)
    body = encode(picture, "PNG", icc_profile=DISPLAY_P3, compress_level=0)
    output = decode(compress(body, CompressionOptions()).body)
    assert output.mode == "P"
    assert mean_delta_e(output, in_srgb(decode(body), DISPLAY_P3)) < 0.5


def test_cmyk_without_a_profile_becomes_rgb():
    body = encode(Image.new("CMYK", (300, 200), CYAN), "JPEG", quality=95)
    output = decode(compress(body, CompressionOptions()).body)
    assert output.mode == "RGB"
    assert is_close(output.getpixel((150, 100)), (0, 255, 255))


def test_cmyk_goes_through_the_profile_it_carries():
    orange_in_lab = (166, 160, 200)
    profile = cmyk_profile(orange_in_lab)
    body = encode(Image.new("CMYK", (300, 200), CYAN), "JPEG", quality=95, icc_profile=profile)
    output = decode(compress(body, CompressionOptions()).body)
    red, green, blue = output.getpixel((150, 100))
    assert output.mode == "RGB"
    assert red > 190
    assert red > green > blue
    assert "icc_profile" not in output.info


@pytest.mark.parametrize("format_name", ["keep", "webp", "avif"])
def test_cmyk_looks_as_a_colour_engine_shows_it(format_name):
    profile = cmyk_profile((140, 90, 90))
    ramp = Image.linear_gradient("L").resize((300, 200))
    inks = Image.merge("CMYK", (ramp, *[Image.new("L", ramp.size)] * 3))
    body = encode(inks, "JPEG", quality=100, icc_profile=profile)
    target = ImageCms.createProfile("sRGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    expected = ImageCms.profileToProfile(decode(body), source, target, outputMode="RGB")
    output = decode(compress(body, CompressionOptions(95, format_name)).body)
    assert mean_delta_e(output, expected) < 1.5


@pytest.mark.parametrize("profile", [b"not a profile", SRGB], ids=["damaged", "of another colour space"])
def test_cmyk_with_an_unusable_profile_becomes_rgb_by_formula(profile):
    body = encode(Image.new("CMYK", (300, 200), CYAN), "JPEG", quality=95, icc_profile=profile)
    output = decode(compress(body, CompressionOptions()).body)
    assert is_close(output.getpixel((150, 100)), (0, 255, 255))
    assert "icc_profile" not in output.info


def test_cmyk_that_was_well_compressed_steps_down_until_it_fits():
    body = encode(noise((300, 200), "CMYK"), "JPEG", quality=10, progressive=True, optimize=True)
    result = compress(body, CompressionOptions(quality=95))
    assert result.outcome == "smaller"
    assert decode(result.body).mode == "RGB"


def test_cmyk_is_turned_upright_as_well():
    body = encode_oriented(noise((300, 200), "CMYK"), 8, "JPEG", quality=95)
    output = decode(compress(body, CompressionOptions()).body)
    assert (output.mode, output.size) == ("RGB", (300, 200))


@pytest.mark.parametrize("pillow_format", ["PNG", "WEBP"])
def test_partial_transparency_stays(pillow_format):
    picture = noise((300, 200), "RGBA")
    saving = {"compress_level": 0} if pillow_format == "PNG" else {"quality": 98}
    body = encode(picture, pillow_format, **saving)
    output = decode(compress(body, CompressionOptions()).body)
    assert output.getchannel("A").tobytes() == decode(body).getchannel("A").tobytes()


@pytest.mark.parametrize(("mode", "key"), [("RGB", (0, 0, 0)), ("L", 0), ("1", 0), ("P", 3)])
def test_a_transparent_colour_of_a_png_stays_transparent(mode, key):
    picture = noise((120, 80)).quantize(30) if mode == "P" else noise((120, 80), "L").convert(mode)
    body = encode(picture, "PNG", transparency=key, compress_level=0)
    output = decode(compress(body, CompressionOptions()).body)
    assert output.convert("RGBA").getchannel("A").tobytes() == decode(body).convert("RGBA").getchannel("A").tobytes()


def test_a_transparent_colour_among_many_colours_stays_transparent():
    picture = noise((120, 80))
    picture.paste((1, 2, 3), (0, 0, 40, 40))
    body = encode(picture, "PNG", transparency=(1, 2, 3), compress_level=0)
    result = compress(body, CompressionOptions())
    assert result.outcome == "smaller"
    assert decode(result.body).convert("RGBA").getpixel((5, 5))[3] == 0


def test_a_png_of_sixteen_bits_with_a_transparent_colour_is_left_alone():
    body = _deep_png_with_transparent_white()
    result = compress(body, CompressionOptions())
    assert (result.body, result.outcome) == (body, "unchanged")


def test_so_is_one_of_sixteen_bits_of_grey():
    rows = b"".join(b"\0" + struct.pack(">4H", 65535, 65280, row * 257, 1) for row in range(30))
    body = _deep_png((4, 30), 0, rows, (b"tRNS", b"\xff\xff"))
    assert compress(body, CompressionOptions(format="auto")).body == body


@pytest.mark.parametrize(("colour_type", "channels", "mode"), [(2, 3, "RGB"), (4, 2, "LA"), (6, 4, "RGBA")])
def test_colours_of_sixteen_bits_come_out_in_eight_less_than_a_level_away(colour_type, channels, mode):
    samples = [*range(0, 65_536, 13)][: 40 * 30 * channels]
    samples += random.Random(1).choices(range(65_536), k=40 * 30 * channels - len(samples))
    packed = struct.pack(f">{len(samples)}H", *samples)
    row_bytes = 40 * channels * 2
    rows = b"".join(b"\0" + packed[start : start + row_bytes] for start in range(0, len(packed), row_bytes))
    result = compress(_deep_png((40, 30), colour_type, rows), CompressionOptions())
    shown = decode(result.body).convert(mode).tobytes()
    assert result.outcome == "smaller"
    assert max(abs(level - sample / 257) for level, sample in zip(shown, samples, strict=True)) < 1


def test_idle_alpha_is_dropped():
    picture = noise((300, 200)).convert("RGBA")
    output = decode(compress(encode(picture, "PNG"), CompressionOptions()).body)
    assert output.mode == "RGB"


def test_gamma_of_a_png_stays():
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100_000))
    body = encode(noise((120, 80)), "PNG", pnginfo=info, compress_level=0)
    assert decode(compress(body, CompressionOptions()).body).info["gamma"] == 1.0


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
def test_metadata_other_than_colour_goes(pillow_format):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Somebody"
    saving = {"compress_level": 0} if pillow_format == "PNG" else {"quality": 97}
    comment = {"comment": b"a note"} if pillow_format == "JPEG" else {}
    body = encode(noise((300, 200)), pillow_format, exif=exif, **saving, **comment)
    result = compress(body, CompressionOptions())
    assert result.outcome == "smaller"
    assert not decode(result.body).getexif()
    assert b"Somebody" not in result.body
    assert b"a note" not in result.body


def test_third_party_cmyk_looks_as_its_profile_says():
    for path in files_under("CORPUS_DIR", "cmyk/*CMYK_color.jpg"):
        source = decode(path.read_bytes())
        profile = ImageCms.ImageCmsProfile(io.BytesIO(source.info["icc_profile"]))
        expected = ImageCms.profileToProfile(source, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        output = decode(compress(path.read_bytes(), CompressionOptions(quality=95)).body)
        assert max(ImageStat.Stat(ImageChops.difference(output, expected)).mean) < 4


def _deep_png_with_transparent_white() -> bytes:
    row = b"\0" + struct.pack(">12H", 65535, 65535, 65535, *range(5, 50, 5))
    return _deep_png((4, 30), 2, row * 30, (b"tRNS", b"\xff" * 6))


def _deep_png(size: tuple[int, int], colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits a sample, not packed at all."""
    header = struct.pack(">IIBBBBB", *size, 16, colour_type, 0, 0, 0)
    return png_file((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))

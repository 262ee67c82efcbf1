"""Whatever the mode and format: it decodes, keeps size and format, never grows, is the same each time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import CASES, MODES, decode, encode, noise, picture_of

MEDIA_TYPES = {"JPEG": ("image/jpeg", "jpg"), "PNG": ("image/png", "png"), "WEBP": ("image/webp", "webp")}
MEDIA_TYPES["GIF"] = ("image/gif", "gif")


def mean_difference(left: Image.Image, right: Image.Image) -> float:
    difference = ImageChops.difference(left.convert("RGB"), right.convert("RGB"))
    return max(ImageStat.Stat(difference).mean)


@pytest.mark.parametrize(("pillow_format", "mode"), CASES)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    seed=st.integers(0, 5),
    quality=st.sampled_from([1, 50, 80, 100]),
)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_every_mode_of_every_format_keeps_size_and_format_and_never_grows(
    pillow_format, mode, width, height, seed, quality
):
    body = encode(picture_of(mode, (width, height), seed), pillow_format)
    result = compress(body, CompressionOptions(quality=quality))
    output = decode(result.body)
    assert output.format == pillow_format
    assert (result.content_type, result.extension) == MEDIA_TYPES[pillow_format]
    assert output.size == (result.width, result.height) == (width, height)
    assert len(result.body) <= len(body)
    assert result.outcome in {"smaller", "unchanged"}
    if result.outcome == "unchanged":
        assert output.tobytes() == decode(body).tobytes()


@pytest.mark.parametrize("mode", MODES["PNG"])
def test_png_keeps_every_visible_pixel(mode):
    body = encode(picture_of(mode, (200, 150), 3), "PNG", compress_level=0)
    result = compress(body, CompressionOptions())
    assert result.outcome == "smaller"
    before, after = decode(body), decode(result.body)
    exact = "I;16" if mode == "I;16" else "RGBA"
    assert before.convert(exact).tobytes() == after.convert(exact).tobytes()


@pytest.mark.parametrize("mode", MODES["GIF"])
def test_gif_keeps_every_pixel(mode):
    body = encode(picture_of(mode, (200, 150), 3), "GIF", optimize=False)
    result = compress(body, CompressionOptions())
    assert decode(body).convert("RGB").tobytes() == decode(result.body).convert("RGB").tobytes()


@pytest.mark.parametrize(("pillow_format", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("WEBP", "RGB")])
def test_a_lossy_picture_gets_smaller_and_looks_the_same(pillow_format, mode):
    body = encode(noise((600, 400), mode), pillow_format, quality=96)
    result = compress(body, CompressionOptions())
    assert len(result.body) < 0.8 * len(body)
    assert decode(result.body).mode == mode
    assert mean_difference(decode(body), decode(result.body)) < 8


def test_lower_quality_means_fewer_bytes():
    body = encode(noise((600, 400)), "JPEG", quality=96)
    sizes = [len(compress(body, CompressionOptions(quality=quality)).body) for quality in (90, 80, 50, 20)]
    assert sizes == sorted(sizes, reverse=True)


def test_a_jpeg_becomes_progressive():
    body = encode(noise((600, 400)), "JPEG", quality=96)
    assert decode(compress(body, CompressionOptions()).body).info.get("progressive")


@pytest.mark.parametrize(("subsampling", "kept"), [("4:4:4", (1, 1)), ("4:2:2", (2, 2)), ("4:2:0", (2, 2))])
def test_full_chroma_stays_full_and_all_else_becomes_4_2_0(subsampling, kept):
    body = encode(noise((600, 400)), "JPEG", quality=96, subsampling=subsampling)
    output = decode(compress(body, CompressionOptions()).body)
    assert output.layer[0][1:3] == kept


def test_a_well_compressed_picture_keeps_its_coding():
    body = encode(noise((600, 400)), "JPEG", quality=20, progressive=True, optimize=True)
    result = compress(body, CompressionOptions())
    assert result.outcome == "unchanged"
    assert decode(result.body).tobytes() == decode(body).tobytes()


def test_lossless_webp_stays_lossless():
    picture = noise((300, 200), "RGBA")
    body = encode(picture, "WEBP", lossless=True, quality=0, method=0)
    result = compress(body, CompressionOptions())
    assert result.outcome == "smaller"
    assert b"VP8L" in result.body[:40]
    assert decode(body).convert("RGBa").tobytes() == decode(result.body).convert("RGBa").tobytes()


def test_a_png_of_few_colours_gets_a_palette():
    picture = noise((300, 200)).quantize(200).convert("RGB")
    result = compress(encode(picture, "PNG"), CompressionOptions())
    output = decode(result.body)
    assert output.mode == "P"
    assert output.convert("RGB").tobytes() == picture.tobytes()


def test_a_grey_picture_stored_as_rgb_png_becomes_grey():
    picture = noise((300, 200), "L").convert("RGB")
    output = decode(compress(encode(picture, "PNG"), CompressionOptions()).body)
    assert output.mode == "L"
    assert output.convert("RGB").tobytes() == picture.tobytes()


@pytest.mark.parametrize(("pillow_format", "mode"), [*CASES, ("PNG", "RGB")])
def test_the_same_bytes_in_give_the_same_bytes_out(pillow_format, mode):
    body = encode(picture_of(mode, (160, 90), 2), pillow_format)
    assert compress(body, CompressionOptions()) == compress(body, CompressionOptions())


def test_threads_give_the_same_bytes_as_one_after_another():
    bodies = [encode(noise((300, 200), seed=seed), "JPEG", quality=95) for seed in range(6)]
    one_by_one = [compress(body, CompressionOptions()) for body in bodies]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda body: compress(body, CompressionOptions()), bodies))
    assert together == one_by_one

"""The JPEG encoder: its tables against jpegli's own, its two efforts, what it writes beside pixels, and its chroma."""

import os
import random
import subprocess
import sys

import pyjpegli
import pytest
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageDraw, ImageFilter, ImageFont, ImageStat
from PIL.JpegImagePlugin import get_sampling

from imagejobs import errors, image_jpeg
from imagejobs.image_jpeg_tables import quantisation_tables
from imagejobs.image_quality import encoder_quality
from tests.unit.image_helpers import CORNERS, corners, decode, encode, is_close, noise, quadrants

EFFORTS = ("normal", "max")
UNCHANGED, HALVED = 0, 2
TINY = ((1, 1), (7, 9), (8, 8), (1, 300), (300, 1), (17, 16))


def coded(picture, quality=80, effort="normal", subsampling=HALVED, profile=None, exif=None):
    return image_jpeg.encode(picture, quality, effort, subsampling, profile, exif)


def natural(size=(240, 240)):
    """Soft shapes of all colours under fine grain, as a photograph has."""
    rng = random.Random(7)
    shapes = Image.frombytes("RGB", (12, 12), rng.randbytes(12 * 12 * 3)).resize(size, Image.Resampling.BICUBIC)
    grain = Image.frombytes("L", size, rng.randbytes(size[0] * size[1])).filter(ImageFilter.GaussianBlur(1))
    return Image.blend(shapes, Image.merge("RGB", [grain] * 3), 0.25)


def written(ink, paper, size=(240, 120)):
    page = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(page)
    for top in range(4, size[1], 20):
        draw.text((4, top), "The quick brown fox, 19.99 EUR", fill=ink, font=ImageFont.load_default(14))
    return page


def mean_difference(left, right):
    return max(ImageStat.Stat(ImageChops.difference(left.convert("RGB"), right.convert("RGB"))).mean)


@pytest.mark.parametrize("quality", range(1, 101))
def test_the_tables_are_those_of_jpegli(quality):
    of_jpegli = decode(pyjpegli.encode(bytes(3), 1, 1, quality=quality)).quantization

    assert quantisation_tables(quality, HALVED) == [of_jpegli[0], of_jpegli[1]]


def test_whole_chroma_is_quantised_coarser_and_luma_the_same():
    halved, whole = quantisation_tables(75, HALVED), quantisation_tables(75, UNCHANGED)

    assert whole[0] == halved[0]
    assert all(abs(coarse - 2 * fine) <= 1 for coarse, fine in zip(whole[1][:63], halved[1][:63], strict=True))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_normal_effort_writes_the_tables_of_the_asked_quality(mode):
    picture = decode(coded(noise(mode=mode), 70))

    assert (
        list(picture.quantization.values())
        == quantisation_tables(encoder_quality("jpeg", 70), HALVED)[: len(picture.quantization)]
    )


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize(("mode", "layers"), [("RGB", 3), ("L", 1)])
@pytest.mark.parametrize("subsampling", [UNCHANGED, HALVED])
def test_the_picture_is_progressive_and_its_mode_and_size_stay(effort, mode, layers, subsampling):
    source = noise((96, 64), mode)
    picture = decode(coded(source, effort=effort, subsampling=subsampling))

    assert picture.info["progressive"] == 1
    assert (picture.mode, picture.size, picture.layers) == (mode, source.size, layers)
    assert mean_difference(picture, source) < 8
    assert mode == "L" or get_sampling(picture) == subsampling


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("size", TINY)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_tiny_pictures_are_coded(effort, size, mode):
    source = Image.new(mode, size, 90)

    picture = decode(coded(source, effort=effort))

    assert picture.size == size
    assert mean_difference(picture, source) < 4


@pytest.mark.parametrize("effort", EFFORTS)
def test_colours_are_where_they_were(effort):
    seen = corners(decode(coded(quadrants(), effort=effort)))

    assert all(is_close(*pair, tolerance=8) for pair in zip(seen, CORNERS, strict=True))


@pytest.mark.parametrize("effort", EFFORTS)
def test_the_ends_of_the_scale_are_far_apart(effort):
    source = natural()

    least, most = (coded(source, quality, effort) for quality in (1, 100))

    assert len(most) > 8 * len(least)
    assert mean_difference(decode(most), source) < 2


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("subsampling", [UNCHANGED, HALVED])
def test_noise_at_the_best_quality_is_coded_too(effort, subsampling):
    """It takes more bytes than Pillow has ready for a progressive file."""
    source = Image.frombytes("RGB", (256, 256), random.Random(1).randbytes(256 * 256 * 3))

    body = coded(source, 100, effort, subsampling)

    assert decode(body).info["progressive"] == 1
    assert subsampling == HALVED or mean_difference(decode(body), source) < 5


@pytest.mark.parametrize("effort", EFFORTS)
def test_the_same_picture_gives_the_same_bytes(effort):
    assert coded(natural(), effort=effort) == coded(natural(), effort=effort)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("subsampling", [UNCHANGED, HALVED])
def test_max_effort_is_smaller(mode, subsampling):
    source = natural().convert(mode)

    assert len(coded(source, effort="max", subsampling=subsampling)) < len(coded(source, subsampling=subsampling))


@pytest.mark.parametrize(
    ("mode", "effort", "subsampling", "name"),
    [
        ("RGB", "normal", HALVED, "jpeg"),
        ("RGB", "max", HALVED, "jpegli"),
        ("RGB", "max", UNCHANGED, "jpeg"),
        ("L", "max", HALVED, "jpeg"),
    ],
)
def test_the_encoder_is_named(mode, effort, subsampling, name):
    assert image_jpeg.encoder_name(Image.new(mode, (8, 8)), effort, subsampling) == name


def rgb_profile(padding=0):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(padding))
    profile[:4] = len(profile).to_bytes(4, "big")
    return bytes(profile)


def rights():
    exif = Image.Exif()
    exif[ExifTags.Base.Copyright] = "Somebody"
    return exif.tobytes()


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("subsampling", [UNCHANGED, HALVED])
@pytest.mark.parametrize("padding", [0, 150_000], ids=["one segment", "three segments"])
def test_profile_and_exif_are_carried(effort, subsampling, padding):
    profile = rgb_profile(padding)

    picture = decode(
        coded(noise(), effort=effort, subsampling=subsampling, profile=profile, exif=rights().removeprefix(b"Exif\0\0"))
    )

    assert picture.info["icc_profile"] == profile
    assert picture.getexif()[ExifTags.Base.Copyright] == "Somebody"
    assert [name for name, _ in picture.applist][:2] == ["APP0", "APP1"]


@pytest.mark.parametrize("effort", EFFORTS)
def test_nothing_that_the_picture_carries_gets_into_the_file_unasked(effort):
    bare = noise()
    laden = decode(encode(bare, "PNG", icc_profile=rgb_profile(), exif=rights(), dpi=(300, 300)))
    laden.info |= {"comment": b"a comment", "xmp": b"<xmp/>"}

    assert coded(laden, effort=effort) == coded(bare, effort=effort)


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_side_that_no_jpeg_can_have_is_refused_with_what_to_do(effort):
    assert decode(coded(Image.new("L", (65_500, 1)), effort=effort)).width == 65_500
    with pytest.raises(errors.ImageTooLarge, match=r"1 x 65501 pixels; a JPEG can have 65,500 a side\. Ask for"):
        coded(Image.new("L", (1, 65_501)), effort=effort)


def test_memory_that_ends_in_mozjpeg_is_not_taken_for_damage(monkeypatch):
    """Where it gets none, it says that it cannot process the picture."""
    whole = image_jpeg.mozjpeg.optimize
    monkeypatch.setattr(image_jpeg.mozjpeg, "optimize", lambda baseline, markers: whole(baseline[:100], markers))

    with pytest.raises(MemoryError, match="mozjpeg"):
        coded(noise(), effort="max")


def test_what_does_not_fit_into_a_jpeg_is_refused():
    with pytest.raises(ValueError, match="70,006 bytes"):
        coded(noise(), exif=bytes(70_000))
    with pytest.raises(ValueError, match="256"):
        coded(noise(), profile=bytes(17_000_000))


@pytest.mark.parametrize(
    ("picture", "chosen"),
    [
        pytest.param(natural(), HALVED, id="photograph"),
        pytest.param(noise((256, 256)), HALVED, id="grain of each colour"),
        pytest.param(Image.new("RGB", (200, 200), (255, 0, 0)), HALVED, id="one saturated colour"),
        pytest.param(natural().convert("L"), HALVED, id="grey"),
        pytest.param(natural().convert("L").convert("RGB"), HALVED, id="grey in RGB"),
        pytest.param(written((0, 0, 0), (255, 255, 255)), HALVED, id="black on white"),
        pytest.param(written((0, 0, 96), (255, 255, 255)), HALVED, id="navy on white"),
        pytest.param(written((255, 0, 0), (255, 255, 255)), UNCHANGED, id="red on white"),
        pytest.param(written((40, 40, 255), (0, 0, 0)), UNCHANGED, id="blue on black"),
        pytest.param(written((255, 255, 0), (0, 0, 160)), UNCHANGED, id="yellow on blue"),
        pytest.param(quadrants(), UNCHANGED, id="saturated areas side by side"),
        pytest.param(Image.new("RGB", (2, 2)), HALVED, id="smaller than a block"),
    ],
)
def test_chroma_is_kept_whole_where_it_would_be_seen(picture, chosen):
    assert image_jpeg.choose_subsampling(picture) == chosen


@pytest.mark.parametrize("offset", range(3))
def test_text_counts_wherever_it_lies(offset):
    page = ImageChops.offset(written((255, 0, 0), (255, 255, 255)), offset, offset)

    assert image_jpeg.choose_subsampling(page) == UNCHANGED


def test_text_of_a_page_that_was_doubled_in_size_counts():
    page = written((255, 0, 0), (255, 255, 255))

    assert image_jpeg.choose_subsampling(page.resize((480, 240), Image.Resampling.NEAREST)) == UNCHANGED


def test_coloured_text_in_a_part_of_a_large_photograph_counts():
    photograph = natural((2000, 1500))
    photograph.paste(written((255, 0, 0), (255, 255, 255), (240, 120)), (300, 900))

    assert image_jpeg.choose_subsampling(photograph) == UNCHANGED


def test_colours_that_came_halved_are_not_looked_at():
    page = written((255, 0, 0), (255, 255, 255))

    assert image_jpeg.choose_subsampling(page, HALVED) == HALVED
    assert image_jpeg.choose_subsampling(page, UNCHANGED) == UNCHANGED


CONFINED = """
import sys
from PIL import Image
from imagejobs import image_jpeg
from imagejobs.codec_syscalls import confine_syscalls

Image.preinit()
confine_syscalls()
for effort in ("normal", "max"):
    for mode in ("RGB", "L"):
        picture = Image.effect_noise((300, 200), 60).convert(mode)
        for subsampling in (0, 2):
            for quality in (80, 100):
                image_jpeg.encode(picture, quality, effort, subsampling, b"profile", b"II")
        image_jpeg.choose_subsampling(picture)
sys.stdout.write("coded")
"""


def test_it_works_with_the_system_calls_that_are_left_to_the_codec():
    done = subprocess.run(
        [sys.executable, "-c", CONFINED],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("coded", "")

"""Pictures come out upright in their pixels, for viewers that know nothing of EXIF."""

import pytest
from PIL import ExifTags, Image

from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import (
    CORNERS,
    animate,
    as_seen,
    corners,
    decode,
    encode,
    encode_oriented,
    files_under,
    frame_durations,
    is_close,
    noise,
    quadrants,
)


def assert_upright(picture: Image.Image) -> None:
    assert all(is_close(seen, drawn) for seen, drawn in zip(corners(picture), CORNERS, strict=True))
    assert picture.getexif().get(ExifTags.Base.Orientation, 1) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("pillow_format", "saving"),
    [("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"quality": 95}), ("WEBP", {"lossless": True})],
)
def test_every_orientation_of_every_format_comes_out_upright(pillow_format, saving, orientation):
    body = encode_oriented(quadrants(), orientation, pillow_format, **saving)
    result = compress(body, CompressionOptions())
    output = decode(result.body)
    assert output.size == (result.width, result.height) == (120, 80)
    assert len(result.body) <= len(body)
    assert_upright(output)


@pytest.mark.parametrize("quality", [20, 40, 70])
def test_a_turned_jpeg_that_was_well_compressed_steps_down_until_it_fits(quality):
    picture = noise((300, 200))
    body = encode_oriented(picture, 6, "JPEG", quality=quality, progressive=True, optimize=True)
    result = compress(body, CompressionOptions(quality=95))
    assert result.outcome == "smaller"
    assert decode(result.body).size == (300, 200)
    assert ExifTags.Base.Orientation not in decode(result.body).getexif()


@pytest.mark.parametrize("damage", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_damaged_exif_counts_as_upright(damage):
    body = encode(quadrants(), "JPEG", quality=95, exif=damage)
    assert_upright(decode(compress(body, CompressionOptions()).body))


@pytest.mark.parametrize("meaningless", [0, 9, 255])
def test_an_orientation_that_means_nothing_counts_as_upright(meaningless):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = meaningless
    result = compress(encode(quadrants(), "JPEG", quality=98, exif=exif), CompressionOptions())
    assert (result.width, result.height) == (120, 80)


@pytest.mark.parametrize("pillow_format", ["WEBP", "PNG"])
def test_an_animation_is_turned_frame_by_frame(pillow_format):
    frames = [quadrants(120 + 0 * index, 80) for index in range(3)]
    for index, frame in enumerate(frames):
        frame.paste((index * 90, 0, 0), (50, 30, 70, 50))
    stored = [frame.transpose(Image.Transpose.ROTATE_90) for frame in frames]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    slow = {"quality": 100} if pillow_format == "WEBP" else {"compress_level": 0}
    body = animate(stored, pillow_format, duration=[100, 200, 300], loop=2, exif=exif, **slow)
    result = compress(body, CompressionOptions(quality=70))
    output = decode(result.body)
    assert output.size == (result.width, result.height) == (120, 80)
    assert_upright(output)
    assert frame_durations(result.body) == [100, 200, 300]


def test_third_party_pictures_of_all_orientations_look_as_they_did():
    for path in files_under("MALFORMED_DIR", "exif-orientation/*.jpg"):
        body = path.read_bytes()
        result = compress(body, CompressionOptions())
        output, seen = decode(result.body), as_seen(body)
        assert output.size == seen.size == (result.width, result.height), path.name
        assert output.getexif().get(ExifTags.Base.Orientation, 1) in {0, 1}, path.name
        assert all(is_close(a, b, 40) for a, b in zip(corners(output), corners(seen), strict=True)), path.name

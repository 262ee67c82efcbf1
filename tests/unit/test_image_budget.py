"""A picture that an encoder has no memory for keeps its coded picture, or is coded by one that needs less."""

import pytest

from imagejobs import image_avif, image_webp
from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import as_seen, decode, encode, encode_oriented, noise, quadrants

PIXELS = 400 * 300


@pytest.fixture
def no_room(monkeypatch):
    """Room for a picture of less than `PIXELS`, for the budgets of 20 megapixels and more take seconds to reach."""
    for module, name in (
        (image_avif, "MAX_PIXELS"),
        (image_webp, "MAX_LOSSLESS_PIXELS"),
        (image_webp, "MAX_LOSSY_ALPHA_PIXELS"),
    ):
        monkeypatch.setattr(module, name, PIXELS - 1)


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_lossless_webp_keeps_every_pixel(mode):
    body = encode(noise((400, 300), mode), "WEBP", lossless=True, quality=0, method=0)
    result = compress(body, CompressionOptions())
    assert result.outcome == "unchanged"
    assert decode(result.body).tobytes() == decode(body).tobytes()


@pytest.mark.usefixtures("no_room")
def test_a_lossless_webp_that_lies_on_its_side_is_turned_by_viewers():
    body = encode_oriented(quadrants(400, 300), 6, "WEBP", lossless=True, quality=0, method=0)
    result = compress(body, CompressionOptions())
    assert (result.outcome, result.width, result.height) == ("unchanged", 400, 300)
    assert as_seen(result.body).tobytes() == as_seen(body).tobytes()


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize(
    ("pillow_format", "mode", "wish", "format_name"),
    [
        ("JPEG", "RGB", "auto", "jpeg"),
        ("JPEG", "RGB", "avif", "jpeg"),
        ("PNG", "RGB", "auto", "jpeg"),
        ("PNG", "RGB", "avif", "png"),
        ("PNG", "RGBA", "auto", "png"),
        ("PNG", "RGBA", "webp", "png"),
        ("PNG", "RGB", "webp", "webp"),
    ],
)
def test_another_encoder_takes_what_one_has_no_room_for(pillow_format, mode, wish, format_name):
    saving = {"compress_level": 0} if pillow_format == "PNG" else {"quality": 97}
    result = compress(encode(noise((400, 300), mode), pillow_format, **saving), CompressionOptions(format=wish))
    assert (result.format, result.outcome != "unchanged") == (format_name, True)


@pytest.mark.usefixtures("no_room")
def test_what_fits_when_it_was_made_smaller_is_coded_as_asked():
    body = encode(noise((400, 300)), "PNG")
    assert compress(body, CompressionOptions(format="avif", max_width=200)).format == "avif"


@pytest.mark.parametrize("wish", ["webp", "auto"])
def test_a_picture_too_long_for_webp_is_none(wish):
    body = encode(quadrants(image_webp.MAX_SIDE_PIXELS + 1, 8), "PNG", compress_level=0)
    assert compress(body, CompressionOptions(format=wish)).format == "png"

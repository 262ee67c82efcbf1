"""`min_quality`: nothing lossy that scores less is handed out, whatever the kind of picture; the search is short."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from imagejobs import image_floor, image_rebuild
from imagejobs.errors import ImageUnreadable
from imagejobs.image import compress
from imagejobs.image_colour import in_eight_bits
from imagejobs.image_floor import Floor, Tries, reaching, search
from imagejobs.image_result import Coding
from imagejobs.image_score import score
from imagejobs.image_size import fitting_size, resized
from imagejobs.options import FORMATS, CompressionOptions
from tests.unit.image_helpers import (
    CASES,
    animate,
    as_seen,
    cmyk_profile,
    decode,
    encode,
    encode_oriented,
    files_under,
    moving_frames,
    noise,
    picture_of,
)

PHOTOGRAPH = encode(noise((400, 300)), "JPEG", quality=96)


def prepared(body, most_wide=None, format_name="keep"):
    """What an encoder gets: upright, in its size, in sRGB; 16 bits stay until there only for a PNG that stays one."""
    picture = ImageOps.exif_transpose(decode(body))
    picture = picture if format_name == "keep" else in_eight_bits(picture)
    picture = picture.convert("RGB") if picture.mode == "CMYK" else picture
    return in_eight_bits(resized(picture, fitting_size(picture.size, most_wide, None)))


def on_white(picture):
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")


def visible(picture):
    return picture.convert("RGBA").convert("RGBa").tobytes()


def check_floor(result, body, floor, most_wide=None, format_name="keep"):
    """The output, decoded and scored anew, is what the result says of it, and no less than the floor."""
    assert len(result.body) <= len(body)
    output = in_eight_bits(decode(result.body))
    if result.outcome == "unchanged":
        assert result.score == 100
        assert output.tobytes() == in_eight_bits(decode(body)).tobytes()
        return
    original = prepared(body, most_wide, format_name)
    assert output.size == original.size
    if min(output.size) < image_floor.MIN_SIDE_PIXELS:
        assert result.score == 100
        assert visible(output) == visible(original)
        return
    original = on_white(original) if result.format == "jpeg" else original
    assert score(original, output) == pytest.approx(result.score, abs=0.01)
    assert score(original, output) >= floor


@pytest.mark.parametrize(("pillow_format", "mode"), CASES)
@given(
    format_name=st.sampled_from(FORMATS),
    effort=st.sampled_from(["normal", "max"]),
    width=st.integers(40, 220),
    height=st.integers(40, 220),
    quality=st.sampled_from([1, 50, 80, 100]),
    floor=st.sampled_from([30, 60, 75, 85, 92, 97]),
)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_the_floor_holds_for_every_mode_in_every_format(
    pillow_format, mode, format_name, effort, width, height, quality, floor
):
    body = encode(picture_of(mode, (width, height)), pillow_format)
    options = CompressionOptions(quality, format_name, effort, min_quality=floor)
    check_floor(compress(body, options), body, floor)


@pytest.mark.parametrize(("pillow_format", "mode"), [case for case in CASES if case[0] in {"PNG", "WEBP", "GIF"}])
@given(
    format_name=st.sampled_from(FORMATS),
    most=st.integers(70, 200),
    floor=st.sampled_from([60, 75, 90]),
)
@settings(max_examples=6, deadline=None, derandomize=True)
def test_the_floor_holds_when_the_picture_is_made_smaller(pillow_format, mode, format_name, most, floor):
    body = encode(picture_of(mode, (220, 190)), pillow_format)
    result = compress(body, CompressionOptions(format=format_name, max_width=most, min_quality=floor))
    check_floor(result, body, floor, most, format_name)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("floor", [60, 80, 90])
@pytest.mark.parametrize(("pillow_format", "options"), [("JPEG", {"quality": 85}), ("PNG", {}), ("WEBP", {})])
def test_the_floor_holds_when_the_picture_is_turned(pillow_format, options, format_name, floor):
    body = encode_oriented(noise((200, 150)), 6, pillow_format, **options)
    check_floor(compress(body, CompressionOptions(format=format_name, min_quality=floor)), body, floor)


@pytest.mark.parametrize("pattern", ["cmyk/*", "pngphoto/*", pytest.param("*/*", marks=pytest.mark.long)])
def test_the_floor_holds_for_real_pictures(pattern):
    for path in files_under("CORPUS_DIR", pattern):
        body = path.read_bytes()
        result = compress(body, CompressionOptions(format="auto", min_quality=80))
        assert 80 <= result.score <= 100, path.name


def test_a_score_is_recorded_only_where_a_floor_was_asked_for():
    assert compress(PHOTOGRAPH, CompressionOptions()).score is None
    assert compress(encode(noise(), "PNG", compress_level=0), CompressionOptions()).score is None
    assert compress(PHOTOGRAPH, CompressionOptions(min_quality=50)).score >= 50


def test_quality_is_where_the_search_begins_and_a_coding_that_looks_better_is_kept():
    plain, floored = (compress(PHOTOGRAPH, CompressionOptions(90, min_quality=floor)) for floor in (None, 60))
    assert floored.body == plain.body


def test_the_search_goes_up_until_the_floor_and_no_further():
    results = [compress(PHOTOGRAPH, CompressionOptions(30, min_quality=floor)) for floor in (70, 75, 80)]
    numbers, sizes = [result.encoder_quality for result in results], [len(result.body) for result in results]
    assert numbers == sorted(set(numbers))
    assert sizes == sorted(sizes)
    assert all(0 <= result.score - floor < 2.5 for result, floor in zip(results, (70, 75, 80), strict=True))


def test_a_coding_without_loss_scores_100():
    result = compress(encode(noise(), "PNG", compress_level=0), CompressionOptions(min_quality=99))
    assert (result.outcome, result.score) == ("smaller", 100)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_floor_that_nothing_smaller_reaches_keeps_the_coded_picture(format_name):
    body = encode(noise((300, 200)), "JPEG", quality=40, progressive=True, optimize=True)
    result = compress(body, CompressionOptions(format=format_name, min_quality=98))
    assert (result.outcome, result.score) == ("unchanged", 100)
    assert decode(result.body).tobytes() == decode(body).tobytes()


@pytest.mark.parametrize("limits", [{}, {"max_width": 190}], ids=["turned", "turned and resized"])
def test_a_picture_that_must_change_and_cannot_at_the_floor_stays_as_it_is_seen(limits):
    body = encode_oriented(noise((300, 200)), 6, "JPEG", quality=30, progressive=True, optimize=True)
    result = compress(body, CompressionOptions(min_quality=99, **limits))
    assert (result.outcome, result.score, result.width, result.height) == ("unchanged", 100, 300, 200)
    assert as_seen(result.body).tobytes() == as_seen(body).tobytes()


def test_cmyk_that_cannot_be_right_in_rgb_at_the_floor_stays_cmyk():
    cmyk = noise((300, 200), "CMYK")
    body = encode(cmyk, "JPEG", quality=30, optimize=True, icc_profile=cmyk_profile((140, 90, 90)))
    result = compress(body, CompressionOptions(min_quality=99))
    assert (result.outcome, decode(result.body).mode) == ("unchanged", "CMYK")


def test_what_must_be_coded_anew_and_cannot_at_the_floor_is_refused_with_the_floor(monkeypatch):
    monkeypatch.setattr(image_rebuild, "has_slack", lambda _: True)  # a payload might hide in it
    body = encode(noise((300, 200)), "JPEG", quality=30, progressive=True, optimize=True)
    with pytest.raises(ImageUnreadable, match="not made smaller at min_quality 99"):
        compress(body, CompressionOptions(min_quality=99))


@pytest.mark.parametrize("format_name", ["keep", "webp", "auto"])
@pytest.mark.parametrize("pillow_format", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("limits", [{}, {"max_width": 100}])
def test_frames_of_an_animation_are_coded_without_loss_or_stay(pillow_format, format_name, limits):
    body = animate(moving_frames(), pillow_format, duration=50)
    result = compress(body, CompressionOptions(format=format_name, min_quality=50, **limits))
    assert result.score == 100
    before, after = decode(body), decode(result.body)
    for index in range(before.n_frames):
        before.seek(index)
        after.seek(index)
        frame = before.convert("RGBA") if result.outcome == "unchanged" else resized(before, after.size)
        assert visible(after) == visible(frame)


@pytest.mark.parametrize("size", [(63, 400), (400, 40)])
def test_sides_too_short_for_the_metric_are_never_coded_with_loss(size):
    result = compress(encode(noise(size), "PNG"), CompressionOptions(format="jpeg", min_quality=1))
    assert (result.format, result.score) == ("png", 100)


def test_a_picture_too_large_to_be_scored_is_never_coded_with_loss(monkeypatch):
    monkeypatch.setattr(image_floor, "MAX_PIXELS", 400 * 300 - 1)
    result = compress(PHOTOGRAPH, CompressionOptions(format="auto", min_quality=1))
    assert (result.outcome, result.score) == ("unchanged", 100)


# The search alone: codings of made-up scores and sizes.


class Encoder:
    """Codes at a quality: so many bytes, such a score."""

    def __init__(self, score_at, bytes_at=lambda quality: quality):
        self.score_at, self.bytes_at = score_at, bytes_at
        self.qualities = []

    def __call__(self, quality):
        self.qualities.append(quality)
        return Coding(bytes(self.bytes_at(quality)), "jpeg", "jpeg", quality, (1000, 1000))


class MadeUp(Floor):
    """A floor that knows the encoder's scores."""

    encoder: Encoder

    def scored(self, coding):
        if coding.score is not None or len(coding.body) >= self.below_bytes:
            return coding
        self.tries.left -= 1
        return replace(coding, score=self.encoder.score_at(coding.encoder_quality))


def found(encoder, floor, start=80, below_bytes=1000, size=(1000, 1000), tries=None):
    picture = Image.new("L", size)
    made_up = MadeUp(floor, picture, below_bytes, tries or Tries.of(picture))
    object.__setattr__(made_up, "encoder", encoder)
    return list(search(encoder, range(start, 0, -10), made_up))


def test_one_coding_is_made_where_the_first_reaches_the_floor():
    encoder = Encoder(lambda quality: quality)
    assert [coding.score for coding in found(encoder, 75)] == [80]
    assert encoder.qualities == [80]


@given(
    floor=st.integers(40, 97),
    start=st.integers(1, 90),
    slope=st.floats(0.3, 1.2),
    best=st.floats(88, 99),
    bend=st.floats(0.8, 2),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_what_is_found_is_near_the_least_that_reaches_the_floor(floor, start, slope, best, bend):
    def score_at(quality):
        return best - slope * 60 * ((100 - quality) / 100) ** bend

    encoder = Encoder(score_at)
    codings = found(encoder, floor, start)
    least = next((quality for quality in range(start, 101) if score_at(quality) >= floor), None)
    assert len(encoder.qualities) <= 6
    if least is None:
        assert codings == []
        return
    (coding,) = codings
    assert coding.score >= floor
    if start >= 50:  # from further away, six codings come less near
        assert coding.encoder_quality - least <= 2 or coding.score - floor <= 1


def test_a_floor_that_even_the_best_quality_misses_is_given_up():
    encoder = Encoder(lambda quality: 60 + quality / 10)
    assert found(encoder, 90) == []
    assert encoder.qualities[-1] == 100
    assert len(encoder.qualities) <= 6


def test_codings_that_are_too_large_are_not_looked_at_and_the_search_goes_on_below_them():
    encoder = Encoder(lambda quality: 40 + quality / 2)
    *too_large, last = found(encoder, 72, start=80, below_bytes=70)
    assert [(coding.score, coding.encoder_quality) for coding in too_large] == [(None, 80), (None, 70)]
    assert (last.score, last.encoder_quality) == (pytest.approx(72, abs=1), pytest.approx(65, abs=2))


def test_nothing_is_found_where_what_reaches_the_floor_is_too_large():
    encoder = Encoder(lambda quality: quality)
    codings = found(encoder, 90, start=60, below_bytes=85)
    assert codings == []
    assert len(encoder.qualities) <= 6


def test_a_large_picture_is_coded_three_times_at_most():
    encoder = Encoder(lambda quality: quality**2 / 100)
    codings = found(encoder, 85, start=10, size=(4000, 4000))
    assert [coding for coding in codings if coding.score < 85] == []
    assert len(encoder.qualities) <= 3


def test_codings_in_all_formats_together_are_limited():
    encoder, tries = Encoder(lambda quality: 60 + quality / 10), Tries(5)
    for _ in range(3):
        assert found(encoder, 90, tries=tries) == []
    assert len(encoder.qualities) == 5


@pytest.mark.parametrize("size", [(6000, 4001), (63, 1000)])
def test_nothing_is_coded_that_cannot_be_scored(size):
    encoder = Encoder(lambda quality: quality)
    assert found(encoder, 1, size=size) == []
    assert encoder.qualities == []


def test_of_codings_from_the_best_looking_on_the_first_that_fails_is_the_last_to_be_made():
    encoder = Encoder(lambda quality: quality)
    floor = MadeUp(75, Image.new("L", (100, 100)), 1000, Tries(9))
    object.__setattr__(floor, "encoder", encoder)
    exact = replace(encoder(99), score=100.0)
    codings = (exact if quality == 99 else encoder(quality) for quality in (99, 90, 80, 70, 60))
    assert [coding.score for coding in reaching(codings, floor)] == [100, 90, 80]
    assert encoder.qualities == [99, 90, 80, 70]

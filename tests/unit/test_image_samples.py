"""The project's own pictures: all kinds are there, small enough to ship, and each is served well."""

from pathlib import Path

import pytest

from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import as_seen, decode, frame_durations

SAMPLES = Path(__file__).parents[2] / "samples"
PICTURES = sorted(path for path in SAMPLES.iterdir() if path.suffix in {".jpg", ".png", ".webp", ".gif"})


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_sample_is_decodable_no_larger_and_of_its_size(path):
    body = path.read_bytes()
    result = compress(body, CompressionOptions())
    output = decode(result.body)
    assert len(result.body) <= len(body)
    assert output.size == as_seen(body).size == (result.width, result.height)
    assert getattr(output, "n_frames", 1) == getattr(decode(body), "n_frames", 1)
    assert output.has_transparency_data == decode(body).has_transparency_data


@pytest.mark.parametrize("name", ["turntable.gif", "lamp-dimming.webp"])
def test_animated_samples_keep_their_timing(name):
    body = (SAMPLES / name).read_bytes()
    assert frame_durations(compress(body, CompressionOptions()).body) == frame_durations(body)


def test_the_samples_ship_in_less_than_two_megabytes_and_save_a_third():
    before = [path.read_bytes() for path in PICTURES]
    after = [compress(body, CompressionOptions()).body for body in before]
    assert len(PICTURES) == 12
    assert sum(map(len, before)) < 1_800_000
    assert sum(map(len, after)) < 0.67 * sum(map(len, before))


def test_every_url_of_the_sample_sheet_but_one_has_its_picture():
    words = (SAMPLES / "products.csv").read_text("utf-8").replace('"', "").replace("\n", ",").split(",")
    names = {word.strip().rsplit("/", 1)[1] for word in words if "{base_url}" in word}
    assert names - {path.name for path in PICTURES} == {"teapot.jpg"}
    assert {path.name for path in PICTURES} <= names

"""The hash that finds pictures that look alike: the same samples coded anew, scaled and turned, and different ones."""

from itertools import combinations

import pytest
from PIL import Image

from imagejobs.image import compress
from imagejobs.image_hash import perceptual_hash
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import STORED_BY_ORIENTATION, decode, encode, encode_oriented, noise, picture_of
from tests.unit.test_image_samples import PICTURES

ALIKE = 3  # bits: what a report calls nearly the same
# Upright, opaque and of 8 bits: what Pillow alone can code anew without a change of its looks.
PHOTOGRAPHS = [path for path in PICTURES if path.suffix == ".jpg"]


def hash_of(body: bytes, orientation: int = 1) -> int:
    return perceptual_hash(decode(body), orientation)


def bits_apart(one: int, other: int) -> int:
    return bin((one ^ other) & (2**64 - 1)).count("1")


@pytest.mark.parametrize("path", PHOTOGRAPHS, ids=lambda path: path.name)
def test_a_sample_that_is_coded_anew_or_scaled_is_nearly_the_same(path):
    body = path.read_bytes()
    picture = decode(body).convert("RGB")
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    again = [encode(picture, "JPEG", quality=50), encode(picture, "WEBP", quality=60), encode(half, "JPEG", quality=80)]

    apart = [bits_apart(hash_of(encode(picture, "PNG")), hash_of(other)) for other in again]

    assert max(apart) <= ALIKE, apart


def test_different_samples_are_far_apart():
    hashes = {path.name: hash_of(path.read_bytes()) for path in PHOTOGRAPHS}

    apart = {(one, other): bits_apart(hashes[one], hashes[other]) for one, other in combinations(hashes, 2)}

    assert min(apart.values()) > ALIKE, apart


@pytest.mark.parametrize("orientation", STORED_BY_ORIENTATION)
def test_a_picture_that_is_stored_turned_has_the_hash_of_the_upright_one(orientation):
    upright = noise((400, 300))

    assert hash_of(encode_oriented(upright, orientation, "PNG"), orientation) == hash_of(encode(upright, "PNG"))


def test_compressing_tells_the_hash_of_the_picture_that_came_upright():
    upright = noise((400, 300))

    result = compress(encode_oriented(upright, 6, "JPEG", quality=95), CompressionOptions(max_width=100))

    assert bits_apart(result.perceptual_hash, hash_of(encode(upright, "PNG"))) <= ALIKE


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_picture_has_one(mode):
    number = hash_of(encode(picture_of(mode, (96, 64)), "PNG"))

    assert -(2**63) <= number < 2**63
    assert number != 0


def test_what_is_transparent_counts_as_white():
    cut_out = noise((300, 200), "RGBA")
    cut_out.putalpha(Image.linear_gradient("L").resize(cut_out.size).point(lambda sample: 255 * (sample > 128)))
    laid = Image.new("RGBA", cut_out.size, "white")
    laid.alpha_composite(cut_out)

    assert hash_of(encode(cut_out, "PNG")) == hash_of(encode(laid.convert("RGB"), "PNG"))


@pytest.mark.parametrize("size", [(1, 1), (8, 1), (9, 8), (500, 400)])
def test_a_picture_of_one_colour_has_0_whatever_its_size(size):
    assert hash_of(encode(Image.new("RGB", size, "teal"), "PNG")) == 0


def test_the_first_bit_is_the_top_left_and_stands_for_darker_than_the_next():
    picture = Image.new("L", (90, 80), 200)
    picture.paste(100, (0, 0, 10, 10))
    last = Image.new("L", (90, 80), 100)
    last.paste(200, (80, 70, 90, 80))

    assert hash_of(encode(picture, "PNG")) == -(2**63)
    assert hash_of(encode(last, "PNG")) == 1

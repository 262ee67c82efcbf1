"""The fast SSIMULACRA2 against the package of that name, which was written apart from it."""

import io

import numpy as np
import pytest
import ssimulacra2.ssimulacra2 as reference
from PIL import Image
from scipy import ndimage

from benchmarks.pictures import SAMPLES
from imagejobs import image_score
from imagejobs.image_score import score


@pytest.fixture
def nothing_outside(monkeypatch):
    """The package's blur with libjxl's borders, where its own mirrors the picture."""

    def blur(image, sigma=1.5):
        return ndimage.gaussian_filter(image, sigma=sigma, truncate=3.33, mode="constant", axes=(0, 1))

    monkeypatch.setattr(reference, "blur_image", blur)


def sample(name="vase.jpg", size=(301, 230)):
    with Image.open(SAMPLES / name) as picture:
        return picture.convert("RGB").resize(size)


def as_png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    file.seek(0)
    return file


def as_jpeg(picture, quality):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize("quality", [15, 50, 80, 95])
@pytest.mark.parametrize("name", ["vase.jpg", "jug.jpg", "lamp.jpg"])
def test_it_agrees_with_the_package(nothing_outside, name, quality):
    original = sample(name)
    coded = as_jpeg(original, quality)
    expected = reference.compute_ssimulacra2(as_png(original), as_png(coded))
    assert score(original, coded) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (63, 65), (300, 17), (129, 200)])
def test_it_agrees_with_the_package_on_small_and_odd_sizes(nothing_outside, size):
    original = sample(size=size)
    coded = as_jpeg(original, 60)
    expected = reference.compute_ssimulacra2(as_png(original), as_png(coded))
    assert score(original, coded) == pytest.approx(expected, abs=0.01)


def test_the_weights_are_those_of_the_package():
    assert np.array_equal(image_score._WEIGHTS.ravel(), reference.weights)

"""The fast SSIMULACRA2 against the package of that name, which was written apart from it."""

import io

import pytest
import ssimulacra2.ssimulacra2 as reference
from PIL import Image, ImageFilter
from scipy import ndimage

from benchmarks.pictures import SAMPLES
from benchmarks.ssimulacra2 import Original


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
    assert Original(original).score(coded) == pytest.approx(expected, abs=0.05)


def test_the_same_picture_scores_100():
    assert Original(sample()).score(sample()) == 100


def test_a_blurred_picture_scores_less_the_more_it_is_blurred():
    original = sample()
    slightly, much = (original.filter(ImageFilter.GaussianBlur(radius)) for radius in (0.7, 2))
    assert Original(original).score(much) < Original(original).score(slightly) < 95


def test_pictures_of_other_sizes_are_not_compared():
    with pytest.raises(ValueError, match=r"\(301, 230\)"):
        Original(sample()).score(sample(size=(300, 230)))

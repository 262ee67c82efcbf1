"""The one scale of quality, and what each encoder is told for it."""

import pytest

from imagejobs.image_quality import encoder_quality

ENCODERS = ("jpeg", "jpegli", "webp", "avif")
SCALE = range(1, 101)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_quality_has_a_number_that_the_encoder_takes(encoder):
    numbers = [encoder_quality(encoder, quality) for quality in SCALE]
    assert all(isinstance(number, int) and 1 <= number <= 100 for number in numbers)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_more_quality_never_means_less_and_ten_more_always_mean_more(encoder):
    numbers = [encoder_quality(encoder, quality) for quality in SCALE]
    assert numbers == sorted(numbers)
    assert all(less < more for less, more in zip(numbers[9:], numbers[19:], strict=False))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_scale_begins_at_the_least_that_an_encoder_takes_and_ends_near_its_most(encoder):
    assert encoder_quality(encoder, 1) == 1
    assert encoder_quality(encoder, 100) >= 90


def test_an_encoder_without_a_scale_is_refused():
    with pytest.raises(KeyError):
        encoder_quality("png", 80)

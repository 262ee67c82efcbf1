"""Options arrive as text in form fields and object metadata, and travel on the same way."""

import pytest

from imagejobs import errors
from imagejobs.options import CompressionOptions


def test_no_fields_mean_the_defaults():
    assert CompressionOptions.from_fields({}) == CompressionOptions(quality=80)


@pytest.mark.parametrize("quality", [1, 79, 80, 100])
def test_fields_round_trip(quality):
    options = CompressionOptions(quality=quality)
    assert CompressionOptions.from_fields(options.to_fields()) == options


def test_defaults_are_left_out_of_the_fields():
    assert CompressionOptions().to_fields() == {}
    assert CompressionOptions(quality=61).to_fields() == {"quality": "61"}


def test_spaces_around_a_value_are_accepted():
    assert CompressionOptions.from_fields({"quality": " 70 "}).quality == 70


@pytest.mark.parametrize("value", ["0", "101", "-5", "", "high", "80.5", "8_0", "٨٠", "1e2", "9" * 5000])
def test_a_quality_out_of_range_names_option_value_and_range(value):
    with pytest.raises(errors.OptionInvalid) as caught:
        CompressionOptions.from_fields({"quality": value})
    assert "'quality'" in caught.value.message
    assert value[:20] in caught.value.message
    assert "from 1 to 100" in caught.value.message
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("quality", [0, 101])
def test_a_quality_out_of_range_cannot_be_built(quality):
    with pytest.raises(errors.OptionInvalid):
        CompressionOptions(quality=quality)


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(errors.OptionInvalid, match=r"'qualty'.*quality"):
        CompressionOptions.from_fields({"qualty": "80"})


def test_there_is_no_floor_of_quality_unless_one_is_asked_for():
    assert CompressionOptions().min_quality is None
    assert CompressionOptions.from_fields({"min_quality": "75"}) == CompressionOptions(min_quality=75)
    assert CompressionOptions(min_quality=75).to_fields() == {"min_quality": "75"}


@pytest.mark.parametrize("value", ["0", "101", "none", ""])
def test_a_floor_out_of_range_names_option_value_and_range(value):
    with pytest.raises(errors.OptionInvalid, match=r"'min_quality'.*from 1 to 100"):
        CompressionOptions.from_fields({"min_quality": value})

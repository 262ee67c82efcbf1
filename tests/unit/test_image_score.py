"""How alike two pictures look: strips count as the whole, transparency on both backgrounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from imagejobs import image_score
from imagejobs.image_score import score
from tests.unit.image_helpers import decode, encode, noise


def coded(picture, quality=60):
    return decode(encode(picture, "JPEG", quality=quality))


def with_alpha(picture, alpha):
    changed = picture.copy()
    changed.putalpha(alpha)
    return changed


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_the_same_picture_scores_100(mode):
    picture = noise((120, 90)).quantize(64) if mode == "P" else noise((120, 90), mode)
    assert score(picture, picture.copy()) == 100


def test_a_blurred_picture_scores_less_the_more_it_is_blurred():
    original = noise((300, 200))
    slightly, much = (original.filter(ImageFilter.GaussianBlur(radius)) for radius in (0.7, 2))
    assert score(original, much) < score(original, slightly) < 95


@given(
    width=st.integers(8, 140),
    height=st.integers(8, 300),
    rows=st.sampled_from([32, 64, 96]),
    quality=st.sampled_from([30, 80, 95]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_strips_give_the_score_of_the_whole(width, height, rows, quality):
    original = noise((width, height))
    other = coded(original, quality)
    in_strips, whole = (scored_by(original, other, strip_rows) for strip_rows in (rows, 1024))
    assert in_strips == pytest.approx(whole, abs=0.01)


def scored_by(original, other, strip_rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_score, "_STRIP_ROWS", strip_rows)
        return score(original, other)


def test_damage_counts_in_whichever_strip_it_lies():
    original = noise((200, 400))
    for top in (0, 60, 120, 380):
        damaged = original.copy()
        ImageDraw.Draw(damaged).rectangle((50, top, 150, top + 12), fill=(255, 0, 0))
        assert score(original, damaged) < 80


@pytest.mark.parametrize("shade", [26, 230])
def test_of_transparent_pictures_the_background_that_shows_more_counts(shade):
    """A shade that is not seen on a background of its own is seen on the other one."""
    alpha = Image.linear_gradient("L").resize((200, 100)).rotate(90)
    flat = with_alpha(Image.new("RGB", (200, 100), (shade,) * 3), alpha)
    without = with_alpha(Image.new("RGB", (200, 100), (shade,) * 3), 0)
    assert score(flat, without) < 50


def test_what_is_fully_transparent_does_not_count():
    hidden = Image.new("L", (200, 100), 0)
    assert score(with_alpha(noise((200, 100)), hidden), with_alpha(noise((200, 100), seed=2), hidden)) == 100


def test_a_picture_without_a_scale_is_not_compared():
    with pytest.raises(ValueError, match=r"\(200, 7\)"):
        score(noise((200, 7)), noise((200, 7)))


def test_pictures_of_other_sizes_are_not_compared():
    with pytest.raises(ValueError, match=r"\(30, 20\)"):
        score(noise((30, 20)), noise((30, 21)))

"""What a preflight says of images and sheets, and what a real run would come to."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagejobs.estimate import CODINGS, JOB_SECONDS, ORIGIN_MS, ROW_MS, Estimate, Seen, billed_ms, bytes_after, codec_ms
from imagejobs.options import EFFORTS, FORMATS, CompressionOptions
from imagejobs.preflight import LARGE_BYTES, Summary, warnings_of

JPEG = Seen("jpeg", 1_500, 1_150, 472_000)
SEEN = {name: replace(JPEG, format=name) for name in ("jpeg", "png", "webp", "gif")}
DEFAULTS = CompressionOptions()


def image(position: int = 1, **changes: object) -> dict[str, object]:
    """A row of `compressed_images` that a preflight has looked at."""
    columns = {"format": "jpeg", "width": 1_500, "height": 1_150, "bytes_before": 472_000}
    return {
        "row_number": 1,
        "position": position,
        "error_code": None,
        "same_as_row_number": None,
        "reused": None,
        **columns,
        **changes,
    }


def failed(code: str) -> dict[str, object]:
    return image(error_code=code, format=None, width=None, height=None, bytes_before=None)


def test_there_is_an_estimate_for_every_format_that_may_come_in_and_be_asked_for():
    assert set(CODINGS) == set(product(SEEN, FORMATS))


@given(
    seen=st.builds(
        Seen, st.sampled_from(sorted(SEEN)), st.integers(1, 9_000), st.integers(1, 5_000), st.integers(1, 26_000_000)
    ),
    options=st.builds(
        CompressionOptions,
        quality=st.integers(1, 100),
        format=st.sampled_from(FORMATS),
        effort=st.sampled_from(EFFORTS),
        max_width=st.none() | st.integers(1, 9_000),
        max_height=st.none() | st.integers(1, 9_000),
        min_quality=st.none() | st.integers(1, 100),
    ),
)
def test_no_image_is_estimated_to_grow_or_to_cost_nothing(seen, options):
    assert 0 < bytes_after(seen, options) <= seen.bytes
    assert billed_ms(seen, options) >= max(codec_ms(seen, options), ORIGIN_MS)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (CompressionOptions(quality=50), DEFAULTS),
        (DEFAULTS, CompressionOptions(quality=95)),
        (CompressionOptions(max_width=800), DEFAULTS),
        (CompressionOptions(max_height=300), CompressionOptions(max_height=800)),
        (CompressionOptions(effort="max"), DEFAULTS),
        (CompressionOptions(format="auto"), DEFAULTS),
        (DEFAULTS, CompressionOptions(min_quality=85)),
    ],
)
def test_options_that_save_bytes_are_estimated_to(less, more):
    assert bytes_after(JPEG, less) < bytes_after(JPEG, more)


@pytest.mark.parametrize(
    "options", [CompressionOptions(effort="max"), CompressionOptions(min_quality=85), CompressionOptions(format="auto")]
)
def test_options_that_take_cpu_are_estimated_to(options):
    assert codec_ms(JPEG, options) > 2 * codec_ms(JPEG, DEFAULTS)


def test_what_is_coded_without_loss_knows_no_quality():
    assert bytes_after(SEEN["png"], CompressionOptions(quality=10, min_quality=90)) == bytes_after(
        SEEN["png"], DEFAULTS
    )


def test_a_repeated_url_has_its_bytes_and_costs_nothing_again():
    once, twice = Estimate(DEFAULTS), Estimate(DEFAULTS)
    for estimate in (once, twice):
        estimate.add(JPEG, is_free=False)
    twice.add(JPEG, is_free=True)
    assert twice.bytes_after == pytest.approx(2 * once.bytes_after, abs=1)
    assert (twice.seconds(1, 4), twice.usd(1)) == (once.seconds(1, 4), once.usd(1))


def test_time_is_shared_out_over_as_many_workers_as_have_a_batch():
    estimate = Estimate(CompressionOptions(min_quality=90))
    for _ in range(150):
        estimate.add(JPEG, is_free=False)
    work_seconds = 150 * billed_ms(JPEG, CompressionOptions(min_quality=90)) / 1000
    fixed = JOB_SECONDS + 150 * ROW_MS / 1000
    for concurrency, at_once in ((1, 1), (2, 2), (40, 3)):
        assert estimate.seconds(150, concurrency) == pytest.approx(fixed + work_seconds / at_once, abs=1)


def test_a_sheet_without_an_image_still_takes_a_moment():
    assert Summary(DEFAULTS).document(3, 40) == {
        "rows": 3,
        "images": 0,
        "images_failed_by_code": {},
        "images_reused": 0,
        "duplicates": 0,
        "warnings": {"small": 0, "large": 0},
        "bytes_before": 0,
        "formats": {},
        "estimate": {"bytes_after": 0, "seconds": 1, "usd": 0.0002},
    }


def test_a_summary_counts_formats_failures_repeats_and_warnings():
    summary = Summary(DEFAULTS)
    for each in (
        image(),
        image(same_as_row_number=1, reused="not_modified"),
        image(format="png", width=100, bytes_before=1_000),
        failed("origin_refused"),
        failed("origin_refused"),
        failed("image_too_large"),
    ):
        summary.add(each)
    found = summary.document(4, 40)
    expected = 2 * bytes_after(JPEG, DEFAULTS) + bytes_after(Seen("png", 100, 1_150, 1_000), DEFAULTS)
    assert found.pop("estimate")["bytes_after"] == round(expected)
    assert found == {
        "rows": 4,
        "images": 6,
        "images_failed_by_code": {"origin_refused": 2, "image_too_large": 1},
        "images_reused": 1,
        "duplicates": 1,
        "warnings": {"small": 1, "large": 0},
        "bytes_before": 945_000,
        "formats": {"jpeg": {"images": 2, "bytes": 944_000}, "png": {"images": 1, "bytes": 1_000}},
    }


@pytest.mark.parametrize(
    ("seen", "warnings"),
    [
        (JPEG, {}),
        (replace(JPEG, width=250, height=250), {}),
        (replace(JPEG, height=249), {"small": "small: a side has under 250 pixels"}),
        (replace(JPEG, width=5_000, height=4_001), {"large": "large: over 20 megapixels"}),
        (replace(JPEG, bytes=LARGE_BYTES + 1), {"large": "large: over 16 MB"}),
    ],
)
def test_small_and_large_pictures_are_warned_of(seen, warnings):
    assert warnings_of(seen) == warnings

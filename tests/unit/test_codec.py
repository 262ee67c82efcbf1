"""What a picture does to its decoder costs that picture alone, and what the decoder's process says is not believed."""

import io
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import astuple, replace
from pathlib import Path

import psutil
import pytest
from PIL import Image

from imagejobs import image_floor
from imagejobs.codec import LENGTHS, Codec, NotBegun
from imagejobs.errors import CodecFailed, FormatUnsupported, ImageError, ImageTooLarge, ImageUnreadable
from imagejobs.image import compress
from imagejobs.image_result import CompressedImage
from imagejobs.options import FORMATS, CompressionOptions
from local.processes import wait_for_end
from tests.unit.image_helpers import (
    animate,
    cmyk_profile,
    encode,
    encode_oriented,
    files_under,
    moving_frames,
    noise,
    quadrants,
)
from tests.unit.misbehaving_codec import order

MISBEHAVING = "tests.unit.misbehaving_codec"
GOOD = encode(noise(), "JPEG", quality=97)
PNG = encode(noise(), "PNG")
TWO_PICTURES = io.BytesIO()
noise().save(TWO_PICTURES, "MPO", save_all=True, append_images=[noise(seed=2)])
PICTURES = {
    "JPEG": GOOD,
    "progressive JPEG": encode(noise(), "JPEG", progressive=True),
    "sideways JPEG": encode_oriented(quadrants(), 6, "JPEG", quality=97),
    "JPEG of two pictures": TWO_PICTURES.getvalue(),
    "CMYK JPEG": encode(noise(mode="CMYK"), "JPEG", icc_profile=cmyk_profile((140, 90, 90))),
    "CMYK JPEG without profile": encode(noise(mode="CMYK"), "JPEG"),
    "PNG": PNG,
    "paletted PNG": encode(noise().quantize(64), "PNG"),
    "sideways PNG": encode_oriented(quadrants(), 6, "PNG"),
    "PNG with alpha": encode(noise(mode="RGBA"), "PNG"),
    "WebP": encode(noise(), "WEBP"),
    "lossless WebP": encode(noise(), "WEBP", lossless=True),
    "GIF": encode(noise(mode="L"), "GIF"),
    **{f"animated {name}": animate(moving_frames(), name, duration=50) for name in ("GIF", "PNG", "WEBP")},
}


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    with closing(Codec()) as codec:
        yield codec


@pytest.fixture(scope="module")
def scoring() -> Iterator[Codec]:
    with closing(Codec()) as codec:
        yield codec


@pytest.fixture
def misbehaving() -> Iterator[Codec]:
    with closing(Codec(MISBEHAVING)) as codec:
        yield codec


def coded(codec, body, *, seconds=60.0, **options):
    return codec.compress(body, CompressionOptions(**options), time.monotonic() + seconds)


def in_jpeg(body: bytes) -> bytes:
    """An order that the parent takes for a JPEG, so that only what the answer says of it can be wrong."""
    return b"\xff\xd8\xff" + body


def idle_child(codec):
    return codec._seats.queue[-1].child


def process_of(codec) -> psutil.Process:
    return psutil.Process(idle_child(codec)._process.pid)


def answer(fields: object, coding: bytes = b"") -> bytes:
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return LENGTHS.pack(len(text), len(coding)) + text + coding


@pytest.mark.parametrize("kind", PICTURES)
def test_the_result_is_that_of_the_same_function_in_this_process(codec, kind):
    over, here = coded(codec, PICTURES[kind], quality=60), compress(PICTURES[kind], CompressionOptions(60))

    assert carried(over) == carried(here)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("kind", PICTURES)
def test_so_it_is_with_a_floor_of_quality(scoring, kind, format_name):
    """In every format: what scores must be loaded before files can be opened no more."""
    options = {"quality": 40, "format": format_name, "min_quality": 70}
    over, here = coded(scoring, PICTURES[kind], **options), compress(PICTURES[kind], CompressionOptions(**options))

    assert carried(over) == carried(here)
    assert over.score >= 70


def test_a_picture_of_16_megapixels_is_scored_next_to_the_encoder_that_needs_most(scoring):
    """AVIF takes 27 to 31 MiB a megapixel, of 1,300 MB in all; the score needs some MB, and both pictures decoded."""
    grain = noise((600, 400))
    body = encode(grain.resize((4000, 4000)), "PNG", compress_level=1)

    image = coded(scoring, body, format="avif", min_quality=70)

    assert (image.format, image.width * image.height) == ("avif", image_floor.MAX_PIXELS)
    assert 70 <= image.score < 100


def test_only_a_job_with_a_floor_pays_for_what_scores(codec):
    with closing(Codec()) as other:
        for options, loaded in (({}, False), ({"min_quality": 70}, True), ({}, False)):
            other.start(CompressionOptions(**options))
            coded(other, GOOD, **options)
            files = {Path(mapped.path).name for mapped in process_of(other).memory_maps()}
            assert any("openblas" in name for name in files) is loaded


def test_a_process_of_the_other_kind_is_replaced_and_left_behind_by_nobody(codec):
    with closing(Codec()) as other:
        coded(other, GOOD)
        plain = process_of(other)
        coded(other, GOOD, min_quality=70)
        scoring = process_of(other)
        coded(other, GOOD, min_quality=80)

        assert not plain.is_running()
        assert process_of(other) == scoring


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"", ImageUnreadable), (b"<html>", FormatUnsupported), (GOOD[: len(GOOD) // 2], ImageUnreadable)],
    ids=["empty", "page", "cut"],
)
def test_an_error_comes_over_with_its_code_and_sentence(codec, body, error):
    with pytest.raises(error) as here:
        compress(body, CompressionOptions())
    with pytest.raises(error) as over:
        coded(codec, body)

    assert over.value.message == here.value.message


def test_one_process_is_kept_for_all_pictures(codec):
    coded(codec, GOOD)
    kept = process_of(codec)
    for body in (PNG, GOOD):
        coded(codec, body)

    assert process_of(codec) == kept


@pytest.mark.parametrize(("name", "cause"), [("crash", "status -11"), ("fail", "KeyError")])
def test_a_crash_fails_its_picture_for_good_and_says_why_to_the_operator(misbehaving, name, cause):
    with pytest.raises(CodecFailed, match="crashed the decoder") as failure:
        coded(misbehaving, order(name))

    assert cause in str(failure.value.__cause__)
    assert not failure.value.transient
    assert coded(misbehaving, GOOD).outcome == "smaller"


@pytest.mark.parametrize("name", ["hang", "spin"])
def test_a_picture_that_takes_too_long_is_killed(name):
    with closing(Codec(MISBEHAVING, max_seconds=0.3)) as codec:
        codec.start(CompressionOptions())
        process = process_of(codec)

        with pytest.raises(CodecFailed, match=r"longer than 0\.3 s"):
            coded(codec, order(name))

        assert not process.is_running()


def test_a_caller_s_deadline_is_kept_and_does_not_condemn_the_picture(misbehaving):
    coded(misbehaving, GOOD)
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        coded(misbehaving, order("hang"), seconds=0.3)

    assert time.monotonic() - began < 10
    assert coded(misbehaving, GOOD)


def test_nothing_is_begun_after_the_deadline(codec):
    coded(codec, GOOD)
    kept = process_of(codec)

    with pytest.raises(NotBegun):
        coded(codec, GOOD, seconds=-1)

    assert process_of(codec) == kept


def test_an_allocation_that_fails_is_the_picture_s_result_and_the_process_goes_on(misbehaving):
    coded(misbehaving, GOOD)
    kept = process_of(misbehaving)

    with pytest.raises(CodecFailed, match="more than 1,300 MB of memory"):
        coded(misbehaving, order("burst"))

    assert process_of(misbehaving) == kept


def test_a_picture_within_the_limits_that_needs_more_memory_than_there_is_fails_alone():
    small_file_of_40_megapixels = encode(Image.new("RGB", (8000, 5000)), "PNG")
    with closing(Codec(max_memory_bytes=150_000_000)) as codec:
        with pytest.raises((CodecFailed, ImageTooLarge), match="memory"):
            coded(codec, small_file_of_40_megapixels)

        assert coded(codec, GOOD).outcome == "smaller"


def test_where_a_decoder_calls_a_lack_of_memory_damage_it_is_told_apart():
    """The WebP encoder's "encoding error 1" is out of memory; Pillow raises the ValueError that damage raises."""
    flat = encode(Image.new("RGB", (4500, 4000), (1, 2, 3)), "WEBP", lossless=True, method=0)
    with closing(Codec(max_memory_bytes=350_000_000)) as codec, pytest.raises(CodecFailed, match="350 MB of memory"):
        coded(codec, flat)


def test_after_a_picture_that_needed_much_memory_the_next_one_gets_a_fresh_process():
    large = encode_oriented(Image.new("RGB", (6000, 6000)), 6, "JPEG")  # 144 MB decoded, and as much when it is turned
    with closing(Codec(max_memory_bytes=500_000_000)) as codec:
        codec.start(CompressionOptions())
        first = process_of(codec)
        assert coded(codec, large).outcome == "smaller"
        assert wait_for_end([first], 10) == []

        assert coded(codec, GOOD).outcome == "smaller"


PAYLOAD = b"<script>payload()</script>" * 2


@pytest.fixture(scope="module")
def webp_with_no_room_for_coding_it_anew() -> bytes:
    """Lossless, 21 megapixels of grain and alpha, as its one chunk of coded data."""
    picture = Image.effect_noise((575, 575), 40).resize((4600, 4600), Image.Resampling.NEAREST).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return encode(picture, "WEBP", lossless=True, quality=0, method=0)


# There the decoder has room for one picture of this size, and had none for a second beside it.
@pytest.mark.parametrize("max_memory_bytes", [450_000_000, 540_000_000])
def test_a_lack_of_memory_hides_no_payload(webp_with_no_room_for_coding_it_anew, max_memory_bytes):
    plain = webp_with_no_room_for_coding_it_anew
    coded_data = plain[20:] + PAYLOAD
    chunk = b"VP8L" + len(coded_data).to_bytes(4, "little") + coded_data + bytes(len(coded_data) % 2)
    with_payload = b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk
    with closing(Codec(max_memory_bytes=max_memory_bytes)) as codec:
        assert coded(codec, plain).outcome == "unchanged"
        with pytest.raises(ImageError):
            coded(codec, with_payload)


CODING = {"encoder": "jpeg", "encoder_quality": 74, "cpu_ms": 1, "score": None, "content": None, "perceptual_hash": -1}
PICTURE = {"width": 96, "height": 64, "outcome": "smaller", **CODING}
LIES = {
    "more JSON than any answer has": LENGTHS.pack(2_001, 0),
    "a coding larger than the picture": LENGTHS.pack(60, 100_000),
    "no JSON": answer(b"{]"),
    "no text": answer(b"\xff\xfe\xfd"),
    "nothing but depth": answer(b"[" * 2_000),
    "no object": answer([]),
    "an unknown field": answer({**PICTURE, "content_type": "text/html"}, b"\xff\xd8\xff"),
    "an unknown outcome": answer({**PICTURE, "outcome": "<script>"}, b"\xff\xd8\xff"),
    "no coding though it is smaller": answer(PICTURE),
    "a size of no picture": answer({**PICTURE, "width": 0}, b"\xff\xd8\xff"),
    "a size over the limit": answer({**PICTURE, "width": 10**9}, b"\xff\xd8\xff"),
    "a size that is no number": answer({**PICTURE, "width": "96"}, b"\xff\xd8\xff"),
    "a size that is true": answer({**PICTURE, "width": True}, b"\xff\xd8\xff"),
    "another format": answer(PICTURE, b"GIF89a"),
    "another format that was not asked for": answer({**PICTURE, "outcome": "converted"}, b"GIF89a"),
    "an unknown encoder": answer({**PICTURE, "encoder": "<script>"}, b"\xff\xd8\xff"),
    "no encoder": answer({**PICTURE, "encoder": None}, b"\xff\xd8\xff"),
    "a quality over 100": answer({**PICTURE, "encoder_quality": 101}, b"\xff\xd8\xff"),
    "a quality that is true": answer({**PICTURE, "encoder_quality": True}, b"\xff\xd8\xff"),
    "a negative time": answer({**PICTURE, "cpu_ms": -1}, b"\xff\xd8\xff"),
    "an endless time": answer({**PICTURE, "cpu_ms": 10**12}, b"\xff\xd8\xff"),
    "a score that nobody asked for": answer({**PICTURE, "score": 90.0}, b"\xff\xd8\xff"),
    "an unknown content": answer({**PICTURE, "content": "<script>"}, b"\xff\xd8\xff"),
    "a content that is a list": answer({**PICTURE, "content": ["graphic"]}, b"\xff\xd8\xff"),
    "a hash of more bits": answer({**PICTURE, "perceptual_hash": 2**63}, b"\xff\xd8\xff"),
    "a hash that is true": answer({**PICTURE, "perceptual_hash": True}, b"\xff\xd8\xff"),
    "a web page": answer(PICTURE, b"<script>"),
    "an unknown error": answer({"code": "origin_unavailable", "message": "Try it again."}),
    "an error with control characters": answer({"code": "image_unreadable", "message": "\x1b[2J\r\nERROR"}),
    "an error with a lone surrogate": answer(b'{"code": "image_unreadable", "message": "\\ud800"}'),
    "an endless error": answer({"code": "image_unreadable", "message": "a" * 301}),
    "an error and a picture": answer({"code": "image_unreadable", "message": "It is."}, b"\xff\xd8\xff"),
}


@pytest.fixture(scope="module")
def liar() -> Iterator[Codec]:
    with closing(Codec(MISBEHAVING)) as codec:
        yield codec


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_no_sound_child_gives_is_a_failure(liar, lie):
    body = order("say", LIES[lie])

    with pytest.raises(CodecFailed, match="cannot be used"):
        coded(liar, body)

    assert idle_child(liar) is None


SCORED = {**PICTURE, "score": 90.0}
SCORE_LIES = {
    "no score": answer(PICTURE, b"\xff\xd8\xff"),
    "no field for it": answer({name: value for name, value in PICTURE.items() if name != "score"}, b"\xff\xd8\xff"),
    "a score below the floor": answer({**SCORED, "score": 74.99}, b"\xff\xd8\xff"),
    "a score over 100": answer({**SCORED, "score": 100.01}, b"\xff\xd8\xff"),
    "a score that is no number": answer({**SCORED, "score": float("nan")}, b"\xff\xd8\xff"),
    "an endless score": answer({**SCORED, "score": float("inf")}, b"\xff\xd8\xff"),
    "a score that is text": answer({**SCORED, "score": "90"}, b"\xff\xd8\xff"),
    "a score that is true": answer({**SCORED, "score": True}, b"\xff\xd8\xff"),
}


@pytest.mark.parametrize("lie", SCORE_LIES)
def test_a_score_that_breaks_the_promise_is_a_failure(lie):
    with closing(Codec(MISBEHAVING)) as codec, pytest.raises(CodecFailed, match="cannot be used"):
        coded(codec, in_jpeg(order("say", SCORE_LIES[lie])), min_quality=75)


def test_a_score_that_keeps_the_promise_is_taken():
    with closing(Codec(MISBEHAVING)) as codec:
        assert coded(codec, in_jpeg(order("say", answer(SCORED, b"\xff\xd8\xff"))), min_quality=75).score == 90


def test_an_answer_that_claims_success_for_a_foreign_format_is_a_failure(liar):
    """The order itself is no picture: as an unchanged one it would be stored."""
    with pytest.raises(CodecFailed, match="cannot be used"):
        coded(liar, order("say", answer({**PICTURE, "outcome": "unchanged"})))


def test_what_is_said_beyond_the_answer_is_not_taken_for_the_next_picture_s(liar):
    refusal = answer({"code": "image_unreadable", "message": "It is damaged."})
    with pytest.raises(ImageUnreadable):
        coded(liar, order("say", refusal + b"more"))
    suspect = process_of(liar)

    assert coded(liar, GOOD).outcome == "smaller"
    assert not suspect.is_running()


def test_a_process_that_was_killed_between_pictures_costs_none(codec):
    for _ in range(5):
        coded(codec, GOOD)
        process_of(codec).kill()  # and goes on at once, whether it is dead by then or not

        assert coded(codec, GOOD).outcome == "smaller"


def test_threads_get_each_its_own_picture_from_one_process(codec):
    coded(codec, GOOD)
    kept = process_of(codec)
    bodies = [encode(noise((40 + number, 30)), "PNG") for number in range(24)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda body: coded(codec, body), bodies))

    assert [result.width for result in results] == [40 + number for number in range(24)]
    assert process_of(codec) == kept


def test_two_processes_work_on_two_pictures_at_a_time():
    with closing(Codec(MISBEHAVING, processes=2)) as codec, ThreadPoolExecutor(1) as pool:
        coded(codec, GOOD)
        kept = process_of(codec)
        held = pool.submit(coded, codec, order("hang"))
        while idle_child(codec):  # until the thread has taken it
            assert not held.done()

        assert coded(codec, GOOD).outcome == "smaller"
        assert not held.done()

        kept.kill()
        with pytest.raises((CodecFailed, ChildProcessError)):  # it may have had the picture by then, or not yet
            held.result()
        assert coded(codec, GOOD).outcome == "smaller"


def test_threads_whose_pictures_fail_do_not_hurt_the_others(misbehaving):
    bodies = [order("crash"), GOOD, order("burst"), GOOD, order("say", b"garbage" * 9), GOOD] * 2

    def outcome(body):
        try:
            return coded(misbehaving, body).outcome
        except ImageError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(outcome, bodies))

    assert outcomes == ["codec_failed", "smaller"] * 6


def test_the_process_has_no_secret_in_its_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top secret")
    monkeypatch.setenv("DATABASE_SECRET_ARN", "top secret")
    with closing(Codec()) as codec:
        coded(codec, GOOD)
        environment = process_of(codec).environ()

    python = {"LANG", "LD_LIBRARY_PATH", "PYTHONPATH"}
    assert set(environment) == {*python, "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "OPENBLAS_NUM_THREADS"}
    assert "top secret" not in "".join(environment.values())


def test_the_process_can_open_start_and_signal_nothing(misbehaving):
    with pytest.raises(ImageUnreadable) as report:
        coded(misbehaving, order("reach"))

    assert report.value.message == "Open: []."


def test_the_process_has_no_open_file_but_its_pipes_and_its_own_status(codec):
    coded(codec, GOOD)
    pid = process_of(codec).pid

    descriptors = Path(f"/proc/{pid}/fd").iterdir()

    files = [str(path.readlink()) for path in sorted(descriptors)]
    assert [file.partition(":")[0] for file in files] == ["pipe", "pipe", "pipe", f"/proc/{pid}/status"]


def test_start_does_not_wait_and_the_picture_gets_that_process(misbehaving):
    misbehaving.start(CompressionOptions())
    started = process_of(misbehaving)
    misbehaving.start(CompressionOptions())
    coded(misbehaving, GOOD)

    assert process_of(misbehaving) == started


def test_a_process_that_cannot_start_is_no_picture_s_fault():
    with (
        closing(Codec("imagejobs.no_such_module")) as codec,
        pytest.raises(ChildProcessError, match=r"No module named imagejobs\.no_such_module"),
    ):
        coded(codec, GOOD)


def test_no_process_is_left_after_close():
    codec = Codec()
    codec.start(CompressionOptions())
    process = process_of(codec)
    codec.close()
    codec.close()

    assert not process.is_running()


def test_no_process_is_left_when_its_codec_is_forgotten():
    codec = Codec()
    coded(codec, GOOD)
    process = process_of(codec)
    del codec

    assert wait_for_end([process], 10) == []


PARENT = """
import sys, time
from imagejobs import codec
from imagejobs.options import CompressionOptions

begins = codec._Child.begins

def begins_and_tells(child, job):
    begun = begins(child, job)
    print(child._process.pid, flush=True)
    return begun

codec._Child.begins = begins_and_tells
codec.Codec(sys.argv[1]).compress(sys.stdin.buffer.read(), CompressionOptions(), time.monotonic() + 600)
"""


@pytest.mark.parametrize("name", ["hang", "spin"])
def test_no_process_is_left_when_its_parent_is_killed_amid_a_picture(name):
    command = [sys.executable, "-c", PARENT, MISBEHAVING]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        parent.stdin.write(order(name))
        parent.stdin.close()
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()

    assert wait_for_end([child], 10) == []


def test_third_party_malformed_files_end_as_in_this_process(codec):
    for path in files_under("MALFORMED_DIR"):
        body = path.read_bytes()
        assert outcome_of(lambda body=body: coded(codec, body)) == outcome_of(lambda body=body: here(body)), path.name


def here(body):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compress(body, CompressionOptions())


def carried(image: CompressedImage) -> tuple[object, ...]:
    """All but the time that it took."""
    return astuple(replace(image, cpu_ms=None))


def outcome_of(work) -> object:
    try:
        return carried(work())
    except ImageError as error:
        return error.code, error.message

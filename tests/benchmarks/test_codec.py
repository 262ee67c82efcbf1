"""How the compression benchmark comes from codings and scores to its figures."""

import io
import json
import math

import pytest
from PIL import Image

from benchmarks import codec_sharp
from benchmarks.codec_curves import Curve, Point, ratio_at, ratios
from benchmarks.codec_encoders import ENCODERS
from benchmarks.codec_pictures import Upload, photographs
from benchmarks.codec_scale import NUMBERS, numbers_for
from benchmarks.report import Figure, finish

STEEP = Curve((Point(70, 1000), Point(90, 4000)))
FLAT = Curve((Point(60, 500), Point(80, 1000), Point(95, 3000)))


def test_bytes_at_a_score_lie_halfway_on_the_logarithm():
    assert STEEP.bytes_at(80) == pytest.approx(2000)
    assert STEEP.bytes_at(70) == pytest.approx(1000)


@pytest.mark.parametrize("score", [69.9, 90.1])
def test_a_score_that_was_not_reached_has_no_bytes(score):
    assert STEEP.bytes_at(score) is None


def test_the_ratio_is_the_geometric_mean_of_the_pictures_that_both_reach_the_score():
    half, same = {"a": FLAT, "b": STEEP}, {"a": STEEP, "b": STEEP}
    ratio, counted = ratio_at(80, half, same)
    assert (ratio, counted) == (pytest.approx(math.sqrt(0.5)), 2)
    _, counted = ratio_at(65, half, {"a": FLAT, "b": FLAT})
    assert counted == 1


def test_the_plot_leaves_out_scores_that_not_all_pictures_reach():
    assert [score for score, _ in ratios([65, 80, 92], {"a": FLAT, "b": STEEP}, {"a": FLAT, "b": STEEP})] == [80]


def test_the_scale_reads_a_curve_backwards():
    rising = [float(number) for number in NUMBERS]
    assert numbers_for([20, 77.4, 100], rising) == (20, 77, 100)


@pytest.mark.parametrize(
    ("figure", "missed"),
    [
        (Figure("ratio", 0.8, at_most=0.8), False),
        (Figure("ratio", 0.81, at_most=0.8), True),
        (Figure("score", 83, at_least=78, at_most=82), True),
        (Figure("score", 77, at_least=78, at_most=82), True),
        (Figure("score", 80), False),
        (Figure("ratio", math.nan, at_most=0.8), True),
    ],
)
def test_a_figure_over_its_target_or_under_it_misses(figure, missed):
    assert figure.missed is missed


@pytest.mark.parametrize(("check", "code"), [("1", 1), ("", 0)])
def test_a_missed_target_fails_only_a_check_and_stands_in_the_last_line(monkeypatch, tmp_path, capsys, check, code):
    monkeypatch.setenv("CHECK", check)
    monkeypatch.setattr("benchmarks.report.BUILD", tmp_path / "build")
    with pytest.raises(SystemExit) as ended:
        finish("shown", [Figure("ratio", 0.9, at_most=0.8), Figure("pictures", 3)], {"more": "kept"})
    assert ended.value.code == code
    assert capsys.readouterr().out.splitlines()[-1] == "ratio 0.9 (<= 0.8)"
    assert json.loads((tmp_path / "build" / "shown.json").read_text())["more"] == "kept"


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_makes_a_picture_of_the_same_size_and_more_bytes_for_more_quality(name):
    picture = Image.effect_mandelbrot((120, 80), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    low, high = (ENCODERS[name](picture, number) for number in (40, 90))
    assert Image.open(io.BytesIO(low)).size == Image.open(io.BytesIO(high)).size == picture.size
    assert len(low) < len(high)


def test_photographs_are_rgb_jpegs_and_pngs_of_many_colours(monkeypatch, tmp_path):
    grain = Image.effect_noise((200, 150), 60)
    colourful = Image.merge("RGB", [grain, grain.rotate(90), grain.rotate(180)])
    colourful.save(tmp_path / "a-photograph.png")
    colourful.save(tmp_path / "b-photograph.jpg")
    colourful.convert("CMYK").save(tmp_path / "c-print.jpg")
    Image.new("RGB", (200, 150), "red").save(tmp_path / "d-flat.png")
    monkeypatch.setenv("CORPUS", str(tmp_path))
    assert [upload.name for upload in photographs()] == ["a-photograph.png", "b-photograph.jpg"]


def test_larger_pictures_are_scaled_down_for_the_score(monkeypatch, tmp_path):
    Image.new("RGB", (3000, 2000), "red").save(tmp_path / "large.jpg")
    monkeypatch.setenv("CORPUS", str(tmp_path))
    (upload,) = photographs()
    width, height = upload.decoded().size
    assert width * height == pytest.approx(2_000_000, rel=0.01)


def test_without_node_sharp_says_why_it_was_not_run(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert codec_sharp.run([Upload("picture", b"")], (80,), 80, 1) == "node and npm are not installed"


def test_what_pins_sharp_names_no_registry():
    lock = json.loads((codec_sharp.SOURCE / "package-lock.json").read_text())
    packages = [package for name, package in lock["packages"].items() if name]
    assert all("resolved" not in package and package["integrity"] for package in packages)

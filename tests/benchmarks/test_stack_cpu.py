"""How CPU seconds of a stack's processes become milliseconds an image of its parts."""

import pytest

from benchmarks.stack_cpu import ms_an_image, outside_the_codec, part_of


@pytest.mark.parametrize(
    ("command", "environment", "part"),
    [
        (["python", "-I", "-m", "imagejobs.codec_child"], {"POWERTOOLS_SERVICE_NAME": "compress"}, "codec"),
        (["python", "-m", "awslambdaric", "app.handler"], {"POWERTOOLS_SERVICE_NAME": "fan_out"}, "fan_out"),
        (["python", "-m", "ministack"], {}, "emulator"),
        (["postgres: postgres postgres [local] idle"], {}, "Postgres"),
        (["python", "-c", "from multiprocessing.spawn import spawn_main"], {}, "origin"),
    ],
)
def test_a_process_belongs_to_a_part(command, environment, part):
    assert part_of(command, environment) == part


def test_the_part_that_took_the_most_stands_first():
    before, after = {"codec": 1.0, "Postgres": 2.0}, {"Postgres": 2.5, "codec": 3.0, "fan_out": 0.1}

    took = ms_an_image(before, after, images=100)

    assert list(took) == ["codec", "Postgres", "fan_out"]
    assert took == pytest.approx({"codec": 20, "Postgres": 5, "fan_out": 1})


def test_of_the_codec_only_what_the_bare_loop_does_not_take_lies_outside():
    assert outside_the_codec({"codec": 25.0, "Postgres": 5.0}, loop_ms=22.0) == {"codec": 3.0, "Postgres": 5.0}

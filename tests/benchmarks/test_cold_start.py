"""What the cold-start benchmark holds a handler against."""

from importlib.metadata import distribution

import pytest

from benchmarks.cold_start import LOCKS, pinned, ratio, top_level


def test_a_handler_may_take_boto3_and_a_third_with_what_its_libraries_take_beyond_it():
    assert ratio((100, 120, 150)) == pytest.approx(1.0)
    assert ratio((100, 120, 75)) == pytest.approx(0.5)


def test_a_layer_s_lock_file_names_its_distributions():
    codecs, dependencies = [pinned(lock.read_text(encoding="utf-8")) for lock in LOCKS]

    assert {"aws-lambda-powertools", "jmespath", "psycopg2-binary"} <= dependencies
    assert {"cffi", "numpy", "pillow"} <= codecs
    assert pinned("numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n# six==1\n") == {"numpy"}


def test_a_distribution_is_its_packages_and_modules_with_the_libraries_that_lie_beside_them():
    assert {"psycopg2", "psycopg2_binary.libs"} <= {path.name for path in top_level(distribution("psycopg2-binary"))}
    assert "six.py" in {path.name for path in top_level(distribution("six"))}

"""A few minutes of coverage-guided fuzzing a target (FUZZ_SECONDS), each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.seeds import SEEDS, write_seeds

ROOT = Path(__file__).parents[2]
SECONDS = int(os.environ.get("FUZZ_SECONDS", "60"))
KEPT = ROOT / "build" / "fuzz"
LIMITS = ("-max_len=24000", "-timeout=30", "-rss_limit_mb=4096", "-keep_seed=1", f"-max_total_time={SECONDS}")


def run_target(target: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "layers/imagejobs/python"), str(ROOT)))}
    command = [sys.executable, "-m", "tests.fuzz.targets", target, *arguments]
    return subprocess.run(
        command,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        check=False,
        errors="replace",
        timeout=SECONDS + 120,
    )


@pytest.mark.long
@pytest.mark.parametrize("target", SEEDS)
def test_nothing_crashes_hangs_or_ends_without_a_code(target, tmp_path):
    pytest.importorskip("atheris")
    write_seeds(target, tmp_path / "seeds")
    found = tmp_path / "found"
    found.mkdir()
    KEPT.mkdir(parents=True, exist_ok=True)

    done = run_target(target, str(found), str(tmp_path / "seeds"), *LIMITS, f"-artifact_prefix={KEPT}/{target}-")

    assert done.returncode == 0, f"The input is kept in {KEPT}.\n{done.stderr[-3000:]}"


def test_an_input_that_was_kept_can_be_run_again(tmp_path):
    pytest.importorskip("atheris")
    write_seeds("sheet", tmp_path / "seeds")

    done = run_target("sheet", str(tmp_path / "seeds" / "0000"))

    assert done.returncode == 0, done.stderr[-3000:]
    assert "Executed" in done.stderr

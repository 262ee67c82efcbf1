"""sharp's mozjpeg, the field's choice, measured on the same pictures where node and npm are there."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.codec_pictures import Upload
from benchmarks.report import BUILD

SOURCE = Path(__file__).parent / "sharp"
INSTALLED = BUILD / "sharp"
_FILES = ("package.json", "package-lock.json", "encode.js")


@dataclass(frozen=True, slots=True)
class SharpRun:
    """What sharp made.

    Attributes:
        codings: Of each picture, one a quality, in the order of the qualities.
        cpu_seconds: Of decoding and coding every picture once.
    """

    codings: tuple[tuple[bytes, ...], ...]
    cpu_seconds: float


def run(uploads: Sequence[Upload], qualities: Sequence[int], timed_quality: int, rounds: int) -> SharpRun | str:
    """Code every picture at every quality; or why that is not possible here."""
    reason = _install()
    if reason:
        return reason
    with TemporaryDirectory(prefix="sharp-") as folder:
        for index, upload in enumerate(uploads):
            (Path(folder) / f"{index:04}.jpg").write_bytes(upload.body)
        arguments = [folder, ",".join(map(str, qualities)), str(timed_quality), str(rounds)]
        answer = _run(["node", "encode.js", *arguments])
        if answer.returncode:
            return f"encode.js failed: {answer.stderr.strip()[:200]}"
        return SharpRun(
            tuple(
                tuple((Path(folder) / f"{index:04}.{quality}.out").read_bytes() for quality in qualities)
                for index in range(len(uploads))
            ),
            float(answer.stdout) / rounds,
        )


def _install() -> str | None:
    """Install what the lock pins into build/; why not, or None when it is there."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "node and npm are not installed"
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(SOURCE / name, INSTALLED / name)
    answer = _run(["npm", "ci", "--no-audit", "--no-fund"])
    return f"npm ci failed with exit code {answer.returncode}" if answer.returncode else None


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True, check=False)

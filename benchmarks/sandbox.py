"""What it costs to decode in a child process: CPU of worker and child, beside the same work in one process.

Both work on the same pictures in turn, round by round, so that what else the machine does falls on both.

    make bench-sandbox    ROUNDS=20 for a short run, CORPUS=dir for other pictures, CHECK=1 to fail below the target
"""

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from statistics import median
from tempfile import NamedTemporaryFile

import psutil
from PIL import ExifTags, Image, ImageOps

from benchmarks.pictures import SAMPLES, jpegs
from benchmarks.report import Figure, finish
from imagejobs.codec import Codec
from imagejobs.image import compress
from imagejobs.options import CompressionOptions

OPTIONS = CompressionOptions()
SECONDS = 300.0
STARTS = 15
LEAST_RATIO = 0.95  # the child may cost 5 % of the CPU
LARGE_SIZE = (8600, 5800)
REPEATED = 8

# Nothing but the codec, so that the peaks are of what it holds itself.
PARENT = """
import resource, sys, time
from imagejobs.codec import Codec
from imagejobs.options import CompressionOptions
codec = Codec()
body = open(sys.argv[1], "rb").read()
for _ in range(int(sys.argv[2])):
    codec.compress(body, CompressionOptions(), time.monotonic() + 600)
codec.close()
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    """Measure and report."""
    pictures, rounds = jpegs(), int(os.environ.get("ROUNDS", "60"))
    alone, apart = cpu_seconds(pictures, rounds)
    figures = [
        Figure("pictures", rounds * len(pictures)),
        Figure("CPU a picture in one process, ms", alone * 1000),
        Figure("CPU a picture of worker and child, ms", apart * 1000),
        Figure("CPU in one process : of worker and child", alone / apart, at_least=LEAST_RATIO),
        Figure("start of the child to its first answer, ms", median(start_seconds() for _ in range(STARTS)) * 1000),
    ]
    for name, body in large_pictures().items():
        parent, child = peak_megabytes(body)
        figures += [Figure(f"{name}, child's peak, MB", child), Figure(f"{name}, parent's peak, MB", parent)]
    finish("sandbox", figures)


def cpu_seconds(pictures: Sequence[bytes], rounds: int) -> tuple[float, float]:
    """CPU seconds a picture, in this process alone and with the child's."""
    with closing(Codec()) as codec:

        def apart() -> None:
            for body in pictures:
                codec.compress(body, OPTIONS, time.monotonic() + SECONDS)

        def alone() -> None:
            for body in pictures:
                compress(body, OPTIONS)

        apart()
        alone()
        used = Cpu()
        took = [(used.by(alone), used.by(apart)) for _ in range(rounds)]
    return (
        sum(one for one, _ in took) / len(took) / len(pictures),
        sum(two for _, two in took) / len(took) / len(pictures),
    )


class Cpu:
    """CPU time of this process and the child that it has now, to the nanosecond."""

    def __init__(self) -> None:
        (child,) = psutil.Process().children()
        self._child_clock = (~child.pid << 3) | 2  # as clock_getcpuclockid(3) makes it

    def by(self, work: Callable[[], None]) -> float:
        """Seconds that the work takes of both."""
        began = self._now()
        work()
        return self._now() - began

    def _now(self) -> float:
        return time.process_time() + time.clock_gettime(self._child_clock)


def start_seconds() -> float:
    """From nothing to the answer for a picture of one pixel."""
    dot = encode(Image.new("L", (1, 1)), "PNG")
    began = time.monotonic()
    with closing(Codec()) as codec:
        codec.compress(dot, OPTIONS, began + SECONDS)
        return time.monotonic() - began


def large_pictures() -> dict[str, bytes]:
    """A photograph of 50 megapixels, by the way in which it is stored."""
    with Image.open(next(iter(sorted(SAMPLES.glob("*.jpg"))))) as sample:
        picture = ImageOps.fit(sample.convert("RGB"), LARGE_SIZE)
    sideways = Image.Exif()
    sideways[ExifTags.Base.Orientation] = 6
    return {
        "50 MP PNG": encode(picture, "PNG", compress_level=1),
        "50 MP JPEG to be turned": encode(picture, "JPEG", quality=93, exif=sideways),
        "50 MP WebP": encode(picture, "WEBP", method=0),
    }


def encode(picture: Image.Image, pillow_format: str, **options: object) -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    picture.save(file, pillow_format, **options)
    return file.getvalue()


def peak_megabytes(body: bytes) -> tuple[float, float]:
    """Resident memory of parent and child after the picture went through several times."""
    with NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        command = [sys.executable, "-c", PARENT, file.name, str(REPEATED)]
        answer = subprocess.run(command, capture_output=True, check=True, text=True)
    parent, child = map(int, answer.stdout.split())
    return parent / 1000, child / 1000


if __name__ == "__main__":
    main()

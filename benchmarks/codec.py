"""Bytes at equal seen quality and CPU of every encoder, beside Pillow's default JPEG and sharp's mozjpeg, in one run.

Each photograph is coded at several qualities and scored with SSIMULACRA2 against the decoded upload; bytes at a score
of 80 are interpolated. CPU is that of decoding and coding at quality 80, the encoders in turn over each picture.

    make bench-codec      CORPUS=dir for other pictures than CORPUS_DIR's or the samples, CHECK=1 to fail over a target
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean
from tempfile import NamedTemporaryFile

from PIL import Image

from benchmarks import codec_sharp
from benchmarks.codec_cpu import cpu_seconds
from benchmarks.codec_curves import QUALITIES, Curve, curve, ratio_at
from benchmarks.codec_encoders import DEFAULT, ENCODERS, PRODUCT
from benchmarks.codec_pictures import Upload, is_corpus, large_jpeg, photographs, uploads
from benchmarks.codec_plot import draw
from benchmarks.codec_scores import Scores
from benchmarks.report import BUILD, Figure, finish
from imagejobs.image import compress
from imagejobs.options import CompressionOptions

SCORE = 80.0
QUALITY = 80
ROUNDS = 3
MEMORY_MB = 450.0

SHARP = "sharp mozjpeg"
TARGETS = {"default JPEG": (0.82, 2.6), "effort=max JPEG": (0.78, 7.0), "auto": (0.65, 8.0)}
"""Of each row, the bytes at equal score and the CPU that it takes at most, as shares of Pillow's default's."""

PEAK = """
import sys
from imagejobs.image import compress
from imagejobs.options import CompressionOptions
with open(sys.argv[1], "rb") as file:
    compress(file.read(), CompressionOptions())
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What one encoder does.

    Attributes:
        bytes_ratio: Bytes at a score of 80 against Pillow's default's.
        counted: Pictures on which both reach that score.
        cpu_ratio: CPU of decoding and coding against Pillow's default's.
        mean_score: Of all pictures at quality 80.
        worst_score: The least of them.
        worst: The picture that it is of.
    """

    bytes_ratio: float
    counted: int
    cpu_ratio: float
    mean_score: float
    worst_score: float
    worst: str


def main() -> None:
    """Measure and report."""
    pictures = photographs()
    sharp = codec_sharp.run(pictures, (*QUALITIES, QUALITY), QUALITY, ROUNDS)
    curves, at_quality = score_codings(pictures, sharp)
    rows = make_rows(curves, at_quality, measure_cpu(pictures, sharp))
    print_table(rows, sharp)
    plot = BUILD / "codec.png"
    draw(curves, DEFAULT, plot)
    print(f"\nRate and distortion of {len(pictures)} pictures: {plot.relative_to(BUILD.parent)}")
    finish("codec", figures(rows, len(pictures)), details(rows, curves, sharp))


def score_codings(
    pictures: Sequence[Upload], sharp: codec_sharp.SharpRun | str
) -> tuple[dict[str, dict[str, Curve]], dict[str, dict[str, float]]]:
    """Of each encoder and picture, the curve, and the score at quality 80."""
    curves: dict[str, dict[str, Curve]] = {}
    at_quality: dict[str, dict[str, float]] = {}
    with Scores() as scores:
        for index, upload in enumerate(pictures):
            for name, codings in codings_of(upload, index, sharp).items():
                curves.setdefault(name, {})[upload.name] = curve(upload, codings, scores)
                at_quality.setdefault(name, {})[upload.name] = scores.of(upload, codings[-1])
            scores.keep()
    return curves, at_quality


def codings_of(upload: Upload, index: int, sharp: codec_sharp.SharpRun | str) -> dict[str, Sequence[bytes]]:
    """The picture at every quality of the curve, and at 80, by each encoder."""
    codings: dict[str, Sequence[bytes]] = {}
    for name, encode in encoders().items():
        codings[name] = [encode(upload.decoded(), quality) for quality in (*QUALITIES, QUALITY)]
    if not isinstance(sharp, str):
        codings[SHARP] = sharp.codings[index]
    return codings


def encoders() -> dict[str, Callable[[Image.Image, int], bytes]]:
    """What the rows measure, by qualities of the one scale; Pillow's default by its own."""
    return {DEFAULT: ENCODERS[DEFAULT], **PRODUCT}


def measure_cpu(pictures: Sequence[Upload], sharp: codec_sharp.SharpRun | str) -> dict[str, float]:
    """CPU seconds of each encoder for all pictures."""
    at_80 = {name: partial(_at_quality, encode) for name, encode in encoders().items()}
    cpu = cpu_seconds(at_80, pictures, ROUNDS)
    return cpu if isinstance(sharp, str) else {**cpu, SHARP: sharp.cpu_seconds}


def _at_quality(encode: Callable[[Image.Image, int], bytes], picture: Image.Image) -> bytes:
    return encode(picture, QUALITY)


def make_rows(
    curves: Mapping[str, Mapping[str, Curve]],
    at_quality: Mapping[str, Mapping[str, float]],
    cpu: Mapping[str, float],
) -> dict[str, Row]:
    """The table."""
    rows = {}
    for name, found in at_quality.items():
        ratio, counted = ratio_at(SCORE, curves[name], curves[DEFAULT])
        worst = min(found, key=found.__getitem__)
        rows[name] = Row(ratio, counted, cpu[name] / cpu[DEFAULT], fmean(found.values()), found[worst], worst)
    return rows


def print_table(rows: Mapping[str, Row], sharp: codec_sharp.SharpRun | str) -> None:
    """As a reader wants it; the targets follow below."""
    print(f"{'':<16} {'bytes at 80':>11} {'of':>4} {'CPU':>7} {'mean at q80':>12} {'worst':>7}")
    for name, row in rows.items():
        print(
            f"{name:<16} {row.bytes_ratio:>11.3f} {row.counted:>4} {row.cpu_ratio:>6.2f}x"
            f" {row.mean_score:>12.1f} {row.worst_score:>7.1f} {row.worst}"
        )
    if isinstance(sharp, str):
        print(f"{SHARP:<16} not run: {sharp}")


def figures(rows: Mapping[str, Row], pictures: int) -> list[Figure]:
    """What has a target."""
    found = [Figure("pictures", pictures)]
    for name, (most_bytes, most_cpu) in TARGETS.items():
        found.append(Figure(f"{name}, bytes at 80 : default", rows[name].bytes_ratio, at_most=most_bytes))
        found.append(Figure(f"{name}, CPU : default", rows[name].cpu_ratio, at_most=most_cpu))
    # The scale is of photographs: on the samples, which are rendered, the encoders' scores lie further apart.
    least, most = (78, 82) if is_corpus() else (None, None)
    return [
        *found,
        *(Figure(f"{name}, mean score at quality 80", rows[name].mean_score, least, most) for name in PRODUCT),
        Figure("worst score of a picture at quality 80", min(rows[name].worst_score for name in PRODUCT), at_least=70),
        Figure("outputs larger than their inputs", larger_outputs(), at_most=0),
        Figure("24 megapixel JPEG to JPEG, peak MB", peak_megabytes(large_jpeg()), at_most=MEMORY_MB),
    ]


def larger_outputs() -> int:
    """How many pictures of all kinds `compress` makes larger, by default, with `effort=max` and with `format=auto`."""
    asked = (CompressionOptions(), CompressionOptions(effort="max"), CompressionOptions(format="auto"))
    return sum(len(compress(upload.body, options).body) > len(upload.body) for upload in uploads() for options in asked)


def peak_megabytes(upload: Upload) -> float:
    """Resident memory of a process that compresses one picture and ends."""
    with NamedTemporaryFile() as file:
        file.write(upload.body)
        file.flush()
        answer = subprocess.run(
            [sys.executable, "-c", PEAK, file.name], capture_output=True, check=True, text=True, env=dict(os.environ)
        )
    return int(answer.stdout) / 1000


def details(
    rows: Mapping[str, Row], curves: Mapping[str, Mapping[str, Curve]], sharp: codec_sharp.SharpRun | str
) -> dict[str, object]:
    """For the JSON: the rows, and the points of every curve."""
    return {
        "sharp": sharp if isinstance(sharp, str) else "run",
        "rows": {name: asdict(row) for name, row in rows.items()},
        "curves": {
            name: {picture: asdict(one)["points"] for picture, one in by_picture.items()}
            for name, by_picture in curves.items()
        },
    }


if __name__ == "__main__":
    main()

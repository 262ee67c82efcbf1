"""What a preflight's estimates are made of: bytes and CPU of every coding of each picture of CORPUS and of the samples.

The tables of `imagejobs.estimate` are the sums of this over the corpus, WebP's over the samples. Then what each picture
came to is held against what is estimated of it: the samples' JPEGs, PNGs and GIFs had no part in the tables.

    CORPUS=dir OPENBLAS_NUM_THREADS=1 PYTHONPATH=layers/imagejobs/python .venv/bin/python -m benchmarks.estimate
"""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import fmean

from benchmarks.pictures import SAMPLES
from benchmarks.report import Figure, finish
from imagejobs.estimate import Seen, bytes_after, codec_ms, mean_of
from imagejobs.image import compress
from imagejobs.image_header import read_header
from imagejobs.options import FORMATS, CompressionOptions

QUALITIES = (20, 40, 60, 70, 80, 90, 95, 100)
SIDES = (400, 800, 1200)
ROUNDS = 3
SUFFIXES = {".jpg", ".png", ".webp", ".gif"}


@dataclass(frozen=True, slots=True)
class Run:
    """One picture, coded in one way.

    Attributes:
        is_sample: Whether it is of the project, or of the corpus.
        seen: What a preflight knows of it.
        options: How it was coded.
        bytes_after: Of the coding.
        cpu_ms: Of the quickest of `ROUNDS`.
    """

    is_sample: bool
    seen: Seen
    options: CompressionOptions
    bytes_after: int
    cpu_ms: float


def main() -> None:
    """Measure, print the tables and report how far they are off."""
    runs = [*runs_of(Path(os.environ["CORPUS"]), is_sample=False), *runs_of(SAMPLES, is_sample=True)]
    print_codings(runs)
    print_qualities(runs)
    print_resizing(runs)
    finish("estimate", [*errors(runs, is_sample=False), *errors(runs, is_sample=True)])


def runs_of(folder: Path, *, is_sample: bool) -> list[Run]:
    """Every picture of a folder in every way."""
    ways = [
        *(CompressionOptions(format=name) for name in FORMATS),
        *(CompressionOptions(quality=quality) for quality in QUALITIES),
        *(CompressionOptions(max_width=side, max_height=side) for side in SIDES),
        CompressionOptions(effort="max"),
    ]
    bodies = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES]
    return [run(body, options, is_sample=is_sample) for body in bodies for options in dict.fromkeys(ways)]


def run(body: bytes, options: CompressionOptions, *, is_sample: bool) -> Run:
    """One picture in one way."""
    header = read_header(body)
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        after = len(compress(body, options).body)
        took.append((time.process_time() - began) * 1000)
    seen = Seen(header.format, header.width, header.height, len(body))
    return Run(is_sample, seen, options, after, min(took))


def print_codings(runs: Sequence[Run]) -> None:
    """By what comes in and what was asked for: bytes and CPU."""
    for came in ("jpeg", "png", "webp", "gif"):
        for wanted in (*FORMATS, "max"):
            options = CompressionOptions(effort="max") if wanted == "max" else CompressionOptions(format=wanted)
            of_it = [each for each in runs if each.seen.format == came and each.options == options]
            found = [each for each in of_it if each.is_sample == (came == "webp")]
            after, cpu_ms = sum(each.bytes_after for each in found), sum(each.cpu_ms for each in found)
            before = sum(each.seen.bytes for each in found)
            mean = sum(mean_of(each.seen) for each in found)
            pixels = sum(each.seen.pixels for each in found)
            print(
                f"{came:>5} {wanted:>5}: bytes {after / before:.3f}, by the mean {after / mean:.3f}; "
                f"CPU {cpu_ms / pixels * 1e6:.0f} ms a megapixel, {cpu_ms / before * 1e6:.0f} ms a million bytes"
            )


def print_qualities(runs: Sequence[Run]) -> None:
    """Bytes of the corpus's JPEGs at a quality, those at 80 being 1."""
    bytes_by_quality = {
        quality: sum(
            each.bytes_after
            for each in runs
            if each.seen.format == "jpeg" and not each.is_sample and each.options == CompressionOptions(quality=quality)
        )
        for quality in QUALITIES
    }
    print({quality: round(found / bytes_by_quality[80], 2) for quality, found in bytes_by_quality.items()})


def print_resizing(runs: Sequence[Run]) -> None:
    """By which power of its pixels a resized JPEG of the corpus gets smaller, on the mean."""
    jpegs = [each for each in runs if each.seen.format == "jpeg" and not each.is_sample]
    in_full = {each.seen: each.bytes_after for each in jpegs if each.options == CompressionOptions()}
    powers = []
    for each in jpegs:
        side = each.options.max_width
        shrunk = min(1.0, side / max(each.seen.width, each.seen.height)) ** 2 if side else 1.0
        if shrunk < 1:
            powers.append(log(each.bytes_after / in_full[each.seen]) / log(shrunk))
    print(f"resized: bytes as the pixels to the power of {fmean(powers):.2f}")


def errors(runs: Iterable[Run], *, is_sample: bool) -> list[Figure]:
    """Estimate over truth, of all pictures together and of the typical one."""
    whose = "samples" if is_sample else "corpus"
    chosen = [each for each in runs if each.is_sample == is_sample]
    figures = []
    for name in FORMATS:
        found = [each for each in chosen if each.options == CompressionOptions(format=name)]
        estimated = [bytes_after(each.seen, each.options) for each in found]
        estimated_ms = [codec_ms(each.seen, each.options) for each in found]
        off = [abs(log(guess / each.bytes_after)) for guess, each in zip(estimated, found, strict=True)]
        figures += [
            Figure(f"{whose}, {name}: bytes, estimate : truth", sum(estimated) / sum(e.bytes_after for e in found)),
            Figure(f"{whose}, {name}: bytes of the typical picture off by a factor of", exp(fmean(off))),
            Figure(f"{whose}, {name}: CPU, estimate : truth", sum(estimated_ms) / sum(e.cpu_ms for e in found)),
        ]
    return figures


if __name__ == "__main__":
    main()

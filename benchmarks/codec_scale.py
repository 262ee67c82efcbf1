"""Measures the table of `imagejobs.image_quality`: of each quality, the number that gives each encoder the same score.

The scale is that of Pillow's default JPEG: quality q looks, on the mean of the folder's photographs, as that does at
39/40 of q. The factor puts 80 at a score of 80, give or take 2: docs/compression.md. Every encoder is scored over its
own numbers, and its curve read backwards at the scores of the default.

    CORPUS_DIR=dir python -m benchmarks.codec_scale      prints the table; scores are kept in build/
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.codec_encoders import DEFAULT, ENCODERS
from benchmarks.codec_pictures import Upload, photographs
from benchmarks.codec_scores import Scores

QUALITIES = (10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 100)
NUMBERS = (1, 5, 10, 15, 20, 30, 40, 50, 55, 60, 62, 64, 65, 66, 68, 70, 75, 80, 85, 90, 95, 98, 100)
MEASURED = ("jpeg", "jpegli", "webp", "avif", "avif speed 10")
OF_DEFAULT = 39 / 40


def main() -> None:
    """Measure and print."""
    uploads = photographs()
    with Scores() as scores:
        default = mean_scores(DEFAULT, NUMBERS, uploads, scores)
        targets = [float(np.interp(quality * OF_DEFAULT, NUMBERS, default)) for quality in QUALITIES]
        print(f"{'quality':<14} {QUALITIES}")
        print(f"{'mean score':<14} {tuple(round(target, 1) for target in targets)}", flush=True)
        for encoder in MEASURED:
            curve = mean_scores(encoder, NUMBERS, uploads, scores)
            scores.keep()
            print(f"{encoder:<14} {numbers_for(targets, curve)}", flush=True)


def mean_scores(encoder: str, numbers: Sequence[int], uploads: Sequence[Upload], scores: Scores) -> list[float]:
    """The mean score of all pictures at each of the encoder's numbers."""
    by_upload = []
    for upload in uploads:
        picture = upload.decoded()
        by_upload.append([scores.of(upload, ENCODERS[encoder](picture, number)) for number in numbers])
    return [float(mean) for mean in np.mean(by_upload, axis=0)]


def numbers_for(targets: Sequence[float], curve: Sequence[float]) -> tuple[int, ...]:
    """The numbers at which the curve over `NUMBERS` has these scores; its ends stand for what lies outside."""
    rising = np.maximum.accumulate(curve)
    return tuple(round(float(number)) for number in np.interp(targets, rising, NUMBERS))


if __name__ == "__main__":
    main()

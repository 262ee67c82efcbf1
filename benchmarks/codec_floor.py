"""What a floor of quality costs and gives: bytes, CPU and codings of photographs with `min_quality`, beside without.

Each coding that is handed out is decoded and scored anew, against the upload; none may score less than the floor.

    OPENBLAS_NUM_THREADS=1 CORPUS_DIR=dir python -m benchmarks.codec_floor    with the layer on the path; CHECK=1
"""

import io
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from unittest.mock import patch

from PIL import Image

from benchmarks.codec_pictures import Upload, photographs
from benchmarks.report import Figure, finish
from imagejobs.image import compress
from imagejobs.image_floor import Floor
from imagejobs.image_result import CompressedImage
from imagejobs.image_score import score
from imagejobs.options import CompressionOptions

FLOORS = (75, 85)
FORMATS = ("keep", "webp", "auto")
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Run:
    """One picture, compressed.

    Attributes:
        name: Of the picture.
        format: As it was asked for.
        floor: The least score; None for a run without one.
        outcome: What became of it.
        size_bytes: Of the output.
        cpu_seconds: Of the quickest round.
        codings: That the search made; 0 without a floor.
        score: Of the output against the upload, measured anew.
    """

    name: str
    format: str
    floor: int | None
    outcome: str
    size_bytes: int
    cpu_seconds: float
    codings: int
    score: float


def main() -> None:
    """Measure and report."""
    uploads = photographs()
    runs = [
        measure(upload, CompressionOptions(format=format_name, min_quality=floor))
        for upload in uploads
        for format_name in FORMATS
        for floor in (None, *FLOORS)
    ]
    figures = [Figure("pictures", len(uploads))]
    for format_name in FORMATS:
        for floor in FLOORS:
            figures += compared(f"{format_name}, floor {floor}", *_pair(runs, format_name, floor))
    floored = [run for run in runs if run.floor is not None]
    below = sum(run.score < run.floor for run in floored if run.floor is not None)
    figures.append(Figure(f"of {len(floored)} outputs, below their floor", below, at_most=0))
    finish("codec_floor", figures, {"runs": [asdict(run) for run in runs]})


def measure(upload: Upload, options: CompressionOptions) -> Run:
    """Compress a picture a few times, and score what came out."""
    took = []
    with patch.object(Floor, "scored", autospec=True, side_effect=Floor.scored) as scored:
        for _ in range(ROUNDS):
            began = time.process_time()
            result = compress(upload.body, options)
            took.append(time.process_time() - began)
    codings, size_bytes, measured = scored.call_count // ROUNDS, len(result.body), _score(upload, result)
    floor, outcome = options.min_quality, result.outcome
    return Run(upload.name, options.format, floor, outcome, size_bytes, min(took), codings, measured)


def _score(upload: Upload, result: CompressedImage) -> float:
    with Image.open(io.BytesIO(result.body)) as coded:
        return score(upload.decoded(), coded)


def _pair(runs: Sequence[Run], format_name: str, floor: int) -> tuple[list[Run], list[Run]]:
    of_format = [run for run in runs if run.format == format_name]
    return [run for run in of_format if run.floor is None], [run for run in of_format if run.floor == floor]


def compared(name: str, without: Sequence[Run], floored: Sequence[Run]) -> list[Figure]:
    """The figures of a floor, beside the same pictures without one."""
    pairs = list(zip(without, floored, strict=True))
    bytes_ratio = math.exp(fmean(math.log(run.size_bytes / plain.size_bytes) for plain, run in pairs))
    cpu_ratio = sum(run.cpu_seconds for run in floored) / sum(plain.cpu_seconds for plain in without)
    return [
        Figure(f"{name}: bytes, of those without", bytes_ratio),
        Figure(f"{name}: CPU, of that without", cpu_ratio),
        Figure(f"{name}: codings a picture, mean", fmean(run.codings for run in floored)),
        Figure(f"{name}: unchanged", sum(run.outcome == "unchanged" for run in floored)),
        Figure(f"{name}: least score, without a floor", min(plain.score for plain in without)),
        Figure(f"{name}: least score", min(run.score for run in floored)),
    ]


if __name__ == "__main__":
    main()

"""What benchmarks compress: JPEGs of 1.5 to 2 megapixels, from CORPUS or rendered from the project's own samples."""

import io
import os
from pathlib import Path

from PIL import Image, ImageOps

SAMPLES = Path(__file__).parents[1] / "samples"
MEGAPIXELS = (1.5, 2.0)
RENDERED_SIZE = (1500, 1150)


def jpegs() -> list[bytes]:
    """The pictures; CORPUS=dir names others than the project's own."""
    if corpus := os.environ.get("CORPUS"):
        bodies = [path.read_bytes() for path in sorted(Path(corpus).rglob("*.jpg"))]
        return [body for body in bodies if MEGAPIXELS[0] <= _megapixels(body) <= MEGAPIXELS[1]]
    return [_render(path) for path in sorted(SAMPLES.glob("*.jpg"))]


def _megapixels(body: bytes) -> float:
    with Image.open(io.BytesIO(body)) as picture:
        return picture.width * picture.height / 1e6


def _render(path: Path) -> bytes:
    """A sample in the benchmark's size, as a studio would save it."""
    file = io.BytesIO()
    with Image.open(path) as picture:
        ImageOps.fit(picture.convert("RGB"), RENDERED_SIZE).save(file, "JPEG", quality=93)
    return file.getvalue()

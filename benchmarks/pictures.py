"""What benchmarks compress: JPEGs of 1.5 to 2 megapixels, from CORPUS or rendered from the project's own samples."""

import io
import os
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

SAMPLES = Path(__file__).parents[1] / "samples"
MEGAPIXELS = (1.5, 2.0)
RENDERED_SIZE = (1500, 1150)
GRAIN_LEVELS = 4  # standard deviation, of 255


def jpegs() -> list[bytes]:
    """The pictures; CORPUS=dir names others than the project's own."""
    if corpus := os.environ.get("CORPUS"):
        bodies = [path.read_bytes() for path in sorted(Path(corpus).rglob("*.jpg"))]
        return [body for body in bodies if MEGAPIXELS[0] <= _megapixels(body) <= MEGAPIXELS[1]]
    return rendered(RENDERED_SIZE)


def rendered(size: tuple[int, int]) -> list[bytes]:
    """The project's own samples in a size of width and height, as a studio would save them."""
    return [_render(path, size) for path in sorted(SAMPLES.glob("*.jpg"))]


def _megapixels(body: bytes) -> float:
    with Image.open(io.BytesIO(body)) as picture:
        return picture.width * picture.height / 1e6


def _render(path: Path, size: tuple[int, int]) -> bytes:
    """One sample, with grain.

    Samples are rendered, and so without the grain of a sensor. With it they have the bytes and take the CPU of
    photographs of that size, without it a third of the bytes and two thirds of the CPU.
    """
    file = io.BytesIO()
    with Image.open(path) as picture:
        smooth = ImageOps.fit(picture.convert("RGB"), size)
    grain = Image.effect_noise(size, GRAIN_LEVELS).convert("RGB")
    ImageChops.add(smooth, grain, offset=-128).save(file, "JPEG", quality=93)
    return file.getvalue()

"""What benchmarks compress: JPEGs of 1.5 to 2 megapixels, from CORPUS or rendered from the project's own samples.

What is to be as large as a camera's pictures is always rendered, with the grain of a sensor at ISO 800 or so: a sample
that was only enlarged would be a quarter of the bytes.
"""

import io
import os
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

SAMPLES = Path(__file__).parents[1] / "samples"
MEGAPIXELS = (1.5, 2.0)
RENDERED_SIZE = (1500, 1150)
GRAIN_DEVIATION = 8  # of 255, as the noise of a sensor of this size that was not smoothed away


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


def camera_jpegs(size: tuple[int, int], count: int) -> list[bytes]:
    """As many pictures of this width and height, each with grain of its own, as a camera would save them."""
    samples = sorted(SAMPLES.glob("*.jpg"))
    return [_photograph(samples[number % len(samples)], size) for number in range(count)]


def _photograph(path: Path, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    grain = Image.merge("RGB", [Image.effect_noise(size, GRAIN_DEVIATION)] * 3)
    with Image.open(path) as picture:
        enlarged = ImageOps.fit(picture.convert("RGB"), size)
    ImageChops.add(enlarged, grain, offset=-128).save(file, "JPEG", quality=95)
    return file.getvalue()

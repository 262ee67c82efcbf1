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
# Standard deviation of a sensor's noise, of 255. With the former, samples of 1.7 megapixels have the bytes and take the
# CPU of photographs of that size; without it a third of the bytes and two thirds of the CPU, for they are rendered.
STUDIO_GRAIN, CAMERA_GRAIN = 4, 8


def jpegs() -> list[bytes]:
    """The pictures; CORPUS=dir names others than the project's own."""
    if corpus := os.environ.get("CORPUS"):
        bodies = [path.read_bytes() for path in sorted(Path(corpus).rglob("*.jpg"))]
        return [body for body in bodies if MEGAPIXELS[0] <= _megapixels(body) <= MEGAPIXELS[1]]
    return rendered(RENDERED_SIZE)


def rendered(size: tuple[int, int]) -> list[bytes]:
    """The project's own samples in a size of width and height, as a studio would save them."""
    return [_photograph(path, size, STUDIO_GRAIN, 93) for path in sorted(SAMPLES.glob("*.jpg"))]


def _megapixels(body: bytes) -> float:
    with Image.open(io.BytesIO(body)) as picture:
        return picture.width * picture.height / 1e6


def camera_jpegs(size: tuple[int, int], count: int) -> list[bytes]:
    """As many pictures of this width and height, each with grain of its own, as a camera would save them."""
    samples = sorted(SAMPLES.glob("*.jpg"))
    return [_photograph(samples[number % len(samples)], size, CAMERA_GRAIN, 95) for number in range(count)]


def _photograph(path: Path, size: tuple[int, int], grain: int, quality: int) -> bytes:
    file = io.BytesIO()
    noise = Image.merge("RGB", [Image.effect_noise(size, grain)] * 3)
    with Image.open(path) as picture:
        smooth = ImageOps.fit(picture.convert("RGB"), size)
    ImageChops.add(smooth, noise, offset=-128).save(file, "JPEG", quality=quality)
    return file.getvalue()

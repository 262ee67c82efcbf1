"""The encoders that are measured: pixels in, bytes out. Each by its own number, and the product's on the one scale."""

import io
from collections.abc import Callable
from functools import partial

import mozjpeg_lossless_optimization
import pyjpegli
from PIL import Image

from imagejobs import image_avif, image_jpeg, image_webp
from imagejobs.image_jpeg_tables import quantisation_tables

Encode = Callable[[Image.Image, int], bytes]

DEFAULT = "Pillow default"
"""What everything is compared with: Pillow's JPEG with nothing said but the quality."""


def pillow(picture: Image.Image, number: int) -> bytes:
    """Pillow's default JPEG: baseline, 4:2:0, libjpeg's tables."""
    return _saved(picture, "JPEG", quality=number)


def jpeg(picture: Image.Image, number: int) -> bytes:
    """Pillow's progressive, optimised JPEG, 4:2:0, with jpegli's quantisation tables."""
    tables = quantisation_tables(number, subsampling=2)
    return _saved(picture, "JPEG", qtables=tables, subsampling="4:2:0", progressive=True, optimize=True)


def jpegli(picture: Image.Image, number: int) -> bytes:
    """Jpegli's JPEG, its coefficients coded anew by mozjpeg."""
    coded = pyjpegli.encode(picture.tobytes(), *picture.size, quality=number)
    return bytes(mozjpeg_lossless_optimization.optimize(coded))


def webp(picture: Image.Image, number: int) -> bytes:
    """WebP, method 4."""
    return _saved(picture, "WEBP", quality=number, method=4)


def avif(picture: Image.Image, number: int, speed: int) -> bytes:
    """AVIF, 4:2:0, on one thread."""
    return _saved(picture, "AVIF", quality=number, speed=speed, subsampling="4:2:0", max_threads=1)


ENCODERS: dict[str, Encode] = {
    DEFAULT: pillow,
    "jpeg": jpeg,
    "jpegli": jpegli,
    "webp": webp,
    "avif": partial(avif, speed=8),
    **{f"avif speed {speed}": partial(avif, speed=speed) for speed in (6, 9, 10)},
}


def _product_jpeg(effort: str, picture: Image.Image, quality: int) -> bytes:
    return image_jpeg.encode(picture, quality, effort, image_jpeg.choose_subsampling(picture), None, None)


def _product_webp(picture: Image.Image, quality: int) -> bytes:
    return image_webp.encode(picture, quality, None, None)


def _product_avif(picture: Image.Image, quality: int) -> bytes:
    return image_avif.encode(picture, quality, image_jpeg.choose_subsampling(picture), None, None)


PRODUCT: dict[str, Encode] = {
    "default JPEG": partial(_product_jpeg, "normal"),
    "effort=max JPEG": partial(_product_jpeg, "max"),
    "WebP": _product_webp,
    "auto": _product_avif,
}
"""What the service makes of a photograph, by qualities of the one scale."""


def _saved(picture: Image.Image, pillow_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, pillow_format, **options)
    return file.getvalue()

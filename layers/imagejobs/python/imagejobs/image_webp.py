"""Step `compress`: a decoded picture in, a WebP out, lossless or lossy."""

import io

from PIL import Image

from imagejobs.image_quality import encoder_quality

MAX_SIDE_PIXELS = 16_383
"""Of either side (RFC 6386, 9.1: 14 bits)."""

MAX_LOSSLESS_PIXELS = 18_000_000
"""Of a lossless picture: libwebp takes 31 to 38 MiB a megapixel, and `codec.MAX_MEMORY_BYTES` is all there is."""

MAX_LOSSY_ALPHA_PIXELS = 20_000_000
"""Of a lossy one with alpha, whose alpha is coded without loss: 35 MiB a megapixel."""

_METHOD = 4  # effort, 0 to 6; 2 takes half the CPU for 10 % more bytes
_LOSSLESS_EFFORT = 75  # libwebp's own default for what it calls quality there


def encode(picture: Image.Image, quality: int | None, profile: bytes | None, exif: bytes | None) -> bytes:
    """Code a picture with or without alpha.

    Args:
        picture: Decoded; `fits` has said yes.
        quality: 1 to 100 of the one scale; None for lossless.
        profile: Of the picture's colours; None for sRGB.
        exif: In TIFF form, or None.
    """
    file = io.BytesIO()
    picture.save(file, "WEBP", **options(quality, profile, exif))
    return file.getvalue()


def options(quality: int | None, profile: bytes | None, exif: bytes | None) -> dict[str, object]:
    """Return Pillow's options, for stills and animations."""
    number = _LOSSLESS_EFFORT if quality is None else encoder_quality("webp", quality)
    coding = {"lossless": quality is None, "quality": number, "method": _METHOD}
    return {**coding, "icc_profile": profile, "exif": exif or b""}


def fits(picture: Image.Image, *, lossless: bool) -> bool:
    """Tell whether the format has room for the picture, and the process for coding it."""
    most = MAX_LOSSLESS_PIXELS if lossless else MAX_LOSSY_ALPHA_PIXELS
    small = picture.width * picture.height <= most or not (lossless or picture.has_transparency_data)
    return small and max(picture.size) <= MAX_SIDE_PIXELS

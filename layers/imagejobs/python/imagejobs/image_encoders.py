"""Step `compress`: a decoded picture in, coded bytes out, one encoder a format.

`encodings` yields candidates from the best-looking to the smallest, made one by one as they are asked for.
"""

import io
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, cast

from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin

from imagejobs.image_header import ImageHeader, png_chunks
from imagejobs.image_reader import read_profile
from imagejobs.image_rebuild import PNG_COLOUR_CHUNKS

_QUALITY_STEP = 10

# The level of zlib by pixels of the picture. Measured on photographs with Pillow 13: level 9 takes 600 ms a
# megapixel, 7 about 400, 6 about 300, 4 about 150, for 3 % of the bytes between the first and the third.
_PNG_LEVELS = ((1_000_000, 9), (4_000_000, 7), (16_000_000, 6))
_PNG_LEAST_LEVEL = 4

_GREY_MODES = frozenset({"L", "LA"})

_WEBP_METHOD = 4  # effort, 0 to 6; 2 takes half the CPU for 10 % more bytes
_WEBP_LOSSLESS_EFFORT = 75  # libwebp's own default for what it calls quality there


def to_rgb(picture: Image.Image) -> Image.Image:
    """Convert CMYK through the profile it carries, or by Pillow's formula without a usable one.

    The result is sRGB, which is what viewers assume of a picture without a profile, so that none is kept.
    """
    rgb = _through_profile(picture) or picture.convert("RGB")
    rgb.info.pop("icc_profile", None)
    return rgb


def _through_profile(picture: Image.Image) -> Image.Image | None:
    profile = picture.info.get("icc_profile")
    try:
        return ImageCms.applyTransform(picture, _cmyk_to_srgb(profile)) if profile else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # damaged, or of another colour space


@lru_cache(maxsize=4)
def _cmyk_to_srgb(profile: bytes) -> ImageCms.ImageCmsTransform:
    # NOCACHE: the one-pixel cache inside a transform is not safe to share between threads.
    return ImageCms.buildTransform(
        io.BytesIO(profile), ImageCms.createProfile("sRGB"), "CMYK", "RGB", flags=ImageCms.Flags.NOCACHE
    )


def encodings(
    picture: Image.Image, body: bytes, header: ImageHeader, quality: int, subsampling: int
) -> Iterator[bytes]:
    """Yield codings of a still picture in its own format, each smaller and poorer than the one before.

    Args:
        picture: Decoded, upright, not CMYK.
        body: The file that it came from.
        header: What `body` says of itself.
        quality: 1 to 100, where the ladder of lossy codings begins.
        subsampling: Pillow's number for JPEG: 0 is 4:4:4, 2 is 4:2:0.
    """
    match header.format:
        case "jpeg":
            for step in _ladder(quality):
                yield _jpeg(picture, step, subsampling)
        case "webp":
            if header.lossless:
                yield saved(picture, "WEBP", **webp_options(picture, None))
            for step in _ladder(quality):
                yield saved(picture, "WEBP", **webp_options(picture, step))
        case _:
            yield _png(exact_and_small(picture), body)
            yield _png(picture.convert("RGBA").quantize(256, Image.Quantize.FASTOCTREE), body)


def chroma_subsampling(picture: Image.Image) -> int:
    """4:4:4 stays so, for somebody chose it to keep coloured edges sharp; all else becomes 4:2:0."""
    return 0 if JpegImagePlugin.get_sampling(picture) == 0 else 2


def _ladder(quality: int) -> Iterator[int]:
    yield from range(quality, 1, -_QUALITY_STEP)
    yield 1


def _jpeg(picture: Image.Image, quality: int, subsampling: int) -> bytes:
    return saved(
        picture,
        "JPEG",
        quality=quality,
        subsampling=subsampling,
        progressive=True,
        optimize=True,
        icc_profile=read_profile(picture),
        comment=b"",
    )


def webp_options(picture: Image.Image, quality: int | None) -> dict[str, object]:
    """Return Pillow's options for WebP: lossless for None, else lossy at `quality` (1 to 100)."""
    coding = {"lossless": quality is None, "quality": _WEBP_LOSSLESS_EFFORT if quality is None else quality}
    return {**coding, "method": _WEBP_METHOD, "icc_profile": read_profile(picture), "exif": b""}


def _png(picture: Image.Image, body: bytes) -> bytes:
    pixels = picture.width * picture.height
    level = next((level for most, level in _PNG_LEVELS if pixels <= most), _PNG_LEAST_LEVEL)
    chunks = colour_chunks(body)
    return saved(picture, "PNG", compress_level=level, pnginfo=chunks, icc_profile=read_profile(picture))


def colour_chunks(body: bytes) -> PngImagePlugin.PngInfo:
    """Gamma and primaries: without them the same samples are shown in other colours."""
    kept = PngImagePlugin.PngInfo()
    chunks = dict(png_chunks(body))
    for name, length in PNG_COLOUR_CHUNKS.items():
        if len(chunks.get(name, b"")) == length:
            kept.add(name, chunks[name])
    return kept


def exact_and_small(picture: Image.Image) -> Image.Image:
    """Return the same visible pixels in the mode that PNG stores in the fewest bytes."""
    has_profile = "icc_profile" in picture.info
    if picture.mode in {"1", "I;16"} or (has_profile and picture.mode in _GREY_MODES):
        return picture  # a grey profile does not fit a palette, nor 16 bits into one
    rgba = picture.convert("RGBA")
    counted = cast("list[tuple[int, tuple[int, int, int, int]]] | None", rgba.getcolors(256))
    if counted is None:
        return _without_idle_alpha(picture)
    colours = sorted((colour for _, colour in counted), key=lambda colour: (colour[3], *colour))
    opaque_grey = all(red == green == blue and alpha == 255 for red, green, blue, alpha in colours)
    if opaque_grey and len(colours) > 16 and not has_profile:
        return rgba.convert("L")
    return _with_palette(rgba, colours)


def _without_idle_alpha(picture: Image.Image) -> Image.Image:
    opaque = {"RGBA": "RGB", "LA": "L"}.get(picture.mode)
    if opaque and picture.getchannel("A").getextrema() == (255, 255):
        return picture.convert(opaque)
    return picture


def _with_palette(rgba: Image.Image, colours: list[tuple[int, int, int, int]]) -> Image.Image:
    # Pillow's own mapping to a palette finds near colours, not equal ones. One look-up a pixel takes 0.05 s
    # a megapixel, less than deflating it.
    index_of = {int.from_bytes(bytes(colour), sys.byteorder): index for index, colour in enumerate(colours)}
    indices = map(index_of.__getitem__, memoryview(rgba.tobytes()).cast("I"))
    paletted = Image.frombytes("P", rgba.size, bytes(indices))
    paletted.putpalette(b"".join(bytes(colour[:3]) for colour in colours))
    if alphas := bytes(alpha for *_, alpha in colours if alpha < 255):
        paletted.info["transparency"] = alphas  # sorted: what is opaque comes last and needs no entry
    if "icc_profile" in rgba.info:
        paletted.info["icc_profile"] = rgba.info["icc_profile"]
    return paletted


def saved(picture: Image.Image, pillow_format: str, **options: object) -> bytes:
    """Encode with Pillow, on a file of memory where the system has them.

    Pillow's JPEG encoder keeps the interpreter's lock for a BytesIO and lets go of it for a real file, so
    that threads scale (39 to 63 images/s on two cores). `memfd_create` is Linux only and may be forbidden.
    """
    with _scratch_file() as file:
        picture.save(file, pillow_format, **options)
        file.seek(0)
        return file.read()


def _scratch_file() -> IO[bytes]:
    if sys.platform == "linux":
        try:
            return os.fdopen(os.memfd_create("image"), "w+b")
        except OSError:
            return io.BytesIO()
    return io.BytesIO()


def is_inexact(picture: Image.Image, header: ImageHeader) -> bool:
    """Tell whether Pillow reads a picture otherwise than it looks.

    Of a 16-bit RGB PNG it keeps the high bytes, so that a transparent colour given in 16 bits does not match.
    """
    return header.deep_rgb and "transparency" in picture.info

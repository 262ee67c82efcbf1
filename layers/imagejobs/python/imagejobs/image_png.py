"""Step `compress`: a decoded picture in, a PNG out, in the mode that stores it in the fewest bytes."""

import io
import sys
from collections.abc import Iterator, Mapping
from typing import cast

from PIL import Image, PngImagePlugin

from imagejobs.image_size import with_alpha

# The level of zlib by pixels of the picture. Measured on photographs with Pillow 13: level 9 takes 600 ms a
# megapixel, 7 about 400, 6 about 300, 4 about 150, for 3 % of the bytes between the first and the third.
_LEVELS = ((1_000_000, 9), (4_000_000, 7), (16_000_000, 6))
_LEAST_LEVEL = 4
_MOST_LEVEL = 9

# Low bits to round off, by at most 1, 2 and 4 of 255: nobody sees the first two, and each takes an eighth of the bytes.
_ROUNDED_BITS = (1, 2, 3)
_FEWER_COLOURS = (256, 64, 16)


def encode(
    picture: Image.Image, colours: Mapping[bytes, bytes], profile: bytes | None, exif: bytes | None, level: int = 0
) -> bytes:
    """Code a picture without loss.

    Args:
        picture: As `exact_and_small` returns it.
        colours: Chunks that say what its samples mean; without them they are shown in other colours.
        profile: Of its colours; None without.
        exif: In TIFF form, or None.
        level: Of zlib, 1 to 9; 0 to choose by size.
    """
    file = io.BytesIO()
    picture.save(
        file,
        "PNG",
        compress_level=level or _level_for(picture),
        pnginfo=png_info(colours),
        icc_profile=profile,
        exif=exif or b"",
    )
    return file.getvalue()


def smaller_pictures(picture: Image.Image, *, has_profile: bool) -> Iterator[tuple[Image.Image, int, bool]]:
    """Yield what to code, for ever fewer bytes: the same pixels, rounded ones, few colours.

    Each with a level of zlib, and whether all visible pixels are the same.
    """
    exact = exact_and_small(picture, has_profile=has_profile)
    yield exact, 0, True
    if _level_for(exact) < _MOST_LEVEL:
        yield exact, _MOST_LEVEL, True
    if exact.mode in {"L", "LA", "RGB", "RGBA"}:
        explicit = with_alpha(exact)  # a transparent colour must not be rounded
        yield from ((_rounded(explicit, bits), _MOST_LEVEL, False) for bits in _ROUNDED_BITS)
    for count in _FEWER_COLOURS:
        yield picture.convert("RGBA").quantize(count, Image.Quantize.FASTOCTREE), _MOST_LEVEL, False


def png_info(colours: Mapping[bytes, bytes]) -> PngImagePlugin.PngInfo:
    """Return these chunks as Pillow takes them."""
    info = PngImagePlugin.PngInfo()
    for name, data in colours.items():
        info.add(name, data)
    return info


def exact_and_small(picture: Image.Image, *, has_profile: bool) -> Image.Image:
    """Return the same visible pixels in the mode that PNG stores in the fewest bytes.

    Args:
        picture: Decoded.
        has_profile: Whether a profile goes with it: that of RGB does not fit grey.
    """
    if picture.mode in {"1", "I;16"}:
        return picture  # 16 bits do not fit into a palette
    rgba = picture.convert("RGBA")
    counted = cast("list[tuple[int, tuple[int, int, int, int]]] | None", rgba.getcolors(256))
    if counted is None:
        return without_idle_alpha(picture)
    colours = sorted((colour for _, colour in counted), key=lambda colour: (colour[3], *colour))
    opaque_grey = all(red == green == blue and alpha == 255 for red, green, blue, alpha in colours)
    if opaque_grey and len(colours) > 16 and not has_profile:
        return rgba.convert("L")
    return _with_palette(rgba, colours)


def without_idle_alpha(picture: Image.Image) -> Image.Image:
    """Return the picture without its alpha channel when all of it is opaque."""
    opaque = {"RGBA": "RGB", "LA": "L"}.get(picture.mode)
    if opaque and picture.getchannel("A").getextrema() == (255, 255):
        return picture.convert(opaque)
    return picture


def _level_for(picture: Image.Image) -> int:
    pixels = picture.width * picture.height
    return next((level for most, level in _LEVELS if pixels <= most), _LEAST_LEVEL)


def _rounded(picture: Image.Image, bits: int) -> Image.Image:
    """Round every sample to multiples of a power of two; black, white, opaque and transparent stay what they are."""
    step = 1 << bits
    table = [min(255, (sample + step // 2) // step * step) for sample in range(255)] + [255]
    return picture.point(table * len(picture.getbands()))


def _with_palette(rgba: Image.Image, colours: list[tuple[int, int, int, int]]) -> Image.Image:
    # Pillow's own mapping to a palette finds near colours, not equal ones. One look-up a pixel takes 0.05 s
    # a megapixel, less than deflating it.
    index_of = {int.from_bytes(bytes(colour), sys.byteorder): index for index, colour in enumerate(colours)}
    indices = map(index_of.__getitem__, memoryview(rgba.tobytes()).cast("I"))
    paletted = Image.frombytes("P", rgba.size, bytes(indices))
    paletted.putpalette(b"".join(bytes(colour[:3]) for colour in colours))
    if alphas := bytes(alpha for *_, alpha in colours if alpha < 255):
        paletted.info["transparency"] = alphas  # sorted: what is opaque comes last and needs no entry
    return paletted

"""Step `compress`: how large a picture becomes, and making it that large."""

from PIL import Image
from PIL.ImageFile import ImageFile

# Pillow shrinks by whole numbers first, down to twice the size that is asked for, and then filters: next to nothing
# is seen of that, and it takes a fraction of the time for large factors.
_REDUCING_GAP = 2.0


def fitting_size(size: tuple[int, int], max_width: int | None, max_height: int | None) -> tuple[int, int]:
    """Return the largest size within both limits that has the same aspect and is no larger than `size`, in pixels."""
    width, height = size
    most_wide, most_high = min(max_width or width, width), min(max_height or height, height)
    if most_wide * height <= most_high * width:
        return most_wide, max(1, round(height * most_wide / width))
    return max(1, round(width * most_high / height)), most_high


def draft(picture: ImageFile, size: tuple[int, int]) -> None:
    """Let a JPEG that is not decoded yet be decoded at 1/2, 1/4 or 1/8 of its size, where that is `size` at least."""
    if size != picture.size:
        picture.draft(None, size)


def resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a decoded picture in another size, in pixels; colours of transparent pixels do not bleed into others.

    Palettes and transparent colours become true colour and alpha. Pillow multiplies by alpha before it filters.
    """
    if picture.size == size:
        return picture
    gap = None if picture.mode == "I;16" else _REDUCING_GAP  # Pillow cannot shrink 16 bits by whole numbers
    return with_alpha(picture).resize(size, Image.Resampling.LANCZOS, reducing_gap=gap)


def with_alpha(picture: Image.Image) -> Image.Image:
    """Return the picture as grey or RGB, with an alpha channel where a palette or a transparent colour said so."""
    if picture.has_transparency_data and picture.mode not in {"LA", "RGBA"}:
        opaque = picture.mode in {"1", "L"}
        return picture.convert("RGBA").convert("LA") if opaque else picture.convert("RGBA")
    plain = {"1": "L", "P": "RGB"}.get(picture.mode)
    return picture.convert(plain) if plain else picture

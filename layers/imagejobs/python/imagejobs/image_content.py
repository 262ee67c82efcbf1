"""Step `compress`: what kind of picture it is, where the best coding depends on that."""

from PIL import Image, ImageChops

# Of the visible pixels that differ from the one to their left, as many differ by so little: 54 to 99 % in photographs
# and renderings, product shots on white among them, 8 to 35 % in screenshots and charts, whose edges are sharp.
_SMALL_STEP = 16
_LEAST_SMALL_OF_PHOTOGRAPHS = 0.5

_MAX_COLOURS_OF_GRAPHICS = 256  # what a palette holds: coded without loss it is small
_MAX_SIDE_LOOKED_AT = 2_048  # in pixels, in the middle
_VISIBLE = [0, *[255] * 255]  # by alpha


def is_photograph(picture: Image.Image) -> bool:
    """Tell a photograph (or a rendering of one) from a screenshot, chart or drawing, in about 15 ms a megapixel.

    Args:
        picture: Decoded, in mode L, LA, RGB or RGBA.
    """
    middle = picture.crop(_middle(picture.size))
    if "L" not in middle.getbands() and middle.getcolors(_MAX_COLOURS_OF_GRAPHICS):
        return False
    visible = middle.getchannel("A").crop((1, 0, *middle.size)).point(_VISIBLE) if "A" in middle.getbands() else None
    counts = _steps(middle.convert("L" if "L" in middle.getbands() else "RGB")).histogram(visible)
    differing, small = sum(counts[1:]), sum(counts[1 : _SMALL_STEP + 1])
    return differing > 0 and small >= _LEAST_SMALL_OF_PHOTOGRAPHS * differing


def _middle(size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = (min(side, _MAX_SIDE_LOOKED_AT) for side in size)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def _steps(picture: Image.Image) -> Image.Image:
    """The largest difference of any channel from the pixel to the left."""
    width, height = picture.size
    differences = ImageChops.difference(picture.crop((1, 0, width, height)), picture.crop((0, 0, width - 1, height)))
    steps, *others = differences.split()
    for other in others:
        steps = ImageChops.lighter(steps, other)
    return steps

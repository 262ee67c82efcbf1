"""Step `compress`: a number that stays nearly the same when a picture is coded anew or scaled: its difference hash."""

from PIL import Image

from imagejobs.image_colour import in_eight_bits
from imagejobs.image_reader import upright
from imagejobs.image_size import with_alpha

# Neal Krawetz, "Kind of Like That", https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html
_COLUMNS, _ROWS = 9, 8
# Of each side. They are picked, not filtered: each of the 72 cells is the mean of a thousand of them, and to go through all
# pixels would take seven times the CPU (docs/decisions/0020-report.md).
_SAMPLES = 32 * _COLUMNS


def perceptual_hash(picture: Image.Image, orientation: int) -> int:
    """Tell each cell of a grey picture of 9 by 8 whether it is darker than the next one to its right: 64 bits.

    Pictures that look alike differ in few of them; 0 has nothing from left to right, such as a picture of one colour.

    Args:
        picture: Decoded, in any mode; what is transparent counts as white.
        orientation: 1 to 8, as in EXIF: the hash is that of the picture as a person sees it.

    Returns:
        The bits as a signed number, as Postgres' `bigint` is.
    """
    size = (min(picture.width, _SAMPLES), min(picture.height, _SAMPLES))
    samples = picture.resize(size, Image.Resampling.NEAREST)
    grey = _on_white(with_alpha(in_eight_bits(samples))).convert("L")
    cells = upright(grey, orientation).resize((_COLUMNS, _ROWS), Image.Resampling.BOX).tobytes()
    bits = "".join("1" if cells[cell] < cells[cell + 1] else "0" for cell in range(len(cells)) if (cell + 1) % _COLUMNS)
    return int.from_bytes(int(bits, 2).to_bytes(8, "big"), "big", signed=True)


def _on_white(picture: Image.Image) -> Image.Image:
    if "A" not in picture.getbands():
        return picture
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture.convert("RGBA"))
    return white

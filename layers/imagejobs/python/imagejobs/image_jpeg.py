"""Step `compress`: a decoded picture in, a progressive JPEG out, and which of its colours may be halved.

    effort   picture         coded by                                           then
    normal   RGB, grey       Pillow, jpegli's quantisation tables               -
    max      RGB, 4:2:0      pyjpegli: its tables, and zeros where none looks   mozjpeg, lossless
    max      RGB 4:4:4, grey Pillow, jpegli's quantisation tables               mozjpeg, lossless

pyjpegli knows neither grey pictures nor 4:4:4. mozjpeg reads what was encoded here, never what a stranger wrote.
"""

import io

import mozjpeg_lossless_optimization as mozjpeg
import pyjpegli
from PIL import Image, ImageChops

from imagejobs import errors
from imagejobs.image_jpeg_tables import quantisation_tables
from imagejobs.image_quality import encoder_quality

_444, _420 = 0, 2  # as Pillow numbers them

MAX_SIDE_PIXELS = 65_500
"""JPEG_MAX_DIMENSION of libjpeg, 35 short of what the format has room for."""

_SAMPLE_PIXELS = 500_000
_BLOCK = 3  # pixels; of a picture that was doubled in size, blocks of an even side would not see the edges
_STRIP_ROWS = 5 * _BLOCK
_VISIBLE_ERROR = 48
_MOST_VISIBLE = 0.0005

_MAX_SEGMENT_BYTES = 65_533  # ITU-T T.81: a length of 16 bits, which counts itself
_ICC = b"ICC_PROFILE\0"
_EXIF = b"Exif\0\0"


def encoder_name(picture: Image.Image, effort: str, subsampling: int) -> str:
    """Return which encoder `encode` takes, "jpeg" or "jpegli", as `encoder_quality` names them."""
    return "jpegli" if effort == "max" and subsampling == _420 and picture.mode == "RGB" else "jpeg"


def encode(
    picture: Image.Image, quality: int, effort: str, subsampling: int, profile: bytes | None, exif: bytes | None
) -> bytes:
    """Encode a progressive JPEG; the same arguments always give the same bytes.

    What `picture.info` holds does not get into the file.

    Args:
        picture: In mode RGB or L.
        quality: 1 to 100, of the one scale of `image_quality`.
        effort: "normal", or "max" for fewer bytes at twice the CPU.
        subsampling: Pillow's number: 0 is 4:4:4, 2 is 4:2:0. Without effect on a grey picture.
        profile: ICC profile to write into the file; None for none.
        exif: In TIFF form, to write into the file; None for none.

    Raises:
        MemoryError: There is too little of it.
        ImageTooLarge: A side is longer than 65,500 pixels.
        ValueError: The profile has more than 16.7 MB or the EXIF more than 65,527 bytes; neither fits into a JPEG.
    """
    if max(picture.size) > MAX_SIDE_PIXELS:
        raise errors.ImageTooLarge(
            f"The image has {picture.width} x {picture.height} pixels; "
            f"a JPEG can have {MAX_SIDE_PIXELS:,} a side. Ask for a smaller width or height, or for another format."
        )
    number = encoder_quality(encoder_name(picture, effort, subsampling), quality)
    encode_picture = _smallest if effort == "max" else _progressive
    return _with_metadata(encode_picture(picture, number, subsampling), profile, exif)


def _smallest(picture: Image.Image, number: int, subsampling: int) -> bytes:
    if encoder_name(picture, "max", subsampling) == "jpegli":
        baseline = pyjpegli.encode(picture.tobytes(), *picture.size, quality=number)
    else:
        baseline = _pillow(picture, number, subsampling, progressive=False)
    return _lossless(baseline)


def _progressive(picture: Image.Image, number: int, subsampling: int) -> bytes:
    try:
        return _pillow(picture, number, subsampling, progressive=True)
    except OSError:
        # Pillow has two bytes a pixel ready for a progressive file, which noise at the best qualities goes beyond.
        return _lossless(_pillow(picture, number, subsampling, progressive=False))


def _lossless(baseline: bytes) -> bytes:
    """The same coefficients as a progressive file, its scans tried out; without any metadata."""
    try:
        progressive: bytes = mozjpeg.optimize(baseline, mozjpeg.COPY_MARKERS.NONE)
    except ValueError as error:
        # It gives no reason, and of a file that was encoded a moment ago there is only one.
        raise MemoryError("mozjpeg could not rewrite the JPEG that was just encoded.") from error
    return progressive


def _pillow(picture: Image.Image, number: int, subsampling: int, *, progressive: bool) -> bytes:
    tables = quantisation_tables(number, subsampling)
    file = io.BytesIO()
    picture.save(
        file,
        "JPEG",
        qtables=tables[:1] if picture.mode == "L" else tables,
        subsampling=subsampling,
        progressive=progressive,
        optimize=progressive,
        comment=b"",  # or else that of `info` is taken
    )
    return file.getvalue()


def _with_metadata(coded: bytes, profile: bytes | None, exif: bytes | None) -> bytes:
    """Put them behind the JFIF segment, which comes first."""
    segments = ([_segment(0xE1, _EXIF + exif)] if exif else []) + _profile_segments(profile or b"")
    start = 4 + int.from_bytes(coded[4:6], "big")
    return b"".join((coded[:start], *segments, coded[start:])) if segments else coded


def _profile_segments(profile: bytes) -> list[bytes]:
    """Split a profile as ICC.1 annex B.4 says: number and count of each part, one byte each, before it."""
    room = _MAX_SEGMENT_BYTES - len(_ICC) - 2
    parts = [profile[start : start + room] for start in range(0, len(profile), room)]
    return [_segment(0xE2, _ICC + bytes((number, len(parts))) + part) for number, part in enumerate(parts, 1)]


def _segment(marker: int, content: bytes) -> bytes:
    if len(content) > _MAX_SEGMENT_BYTES:
        raise ValueError(f"{len(content):,} bytes do not fit into one segment of a JPEG.")
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def choose_subsampling(picture: Image.Image, coded_sampling: int | None = None) -> int:
    """Return 4:4:4 (0) where halved colours are seen to run out, as of red text, else 4:2:0 (2).

    4:2:0 is taken unless at 0.05 % of the pixels or more Cb and Cr together lie 48 levels or more from the mean of the
    3 by 3 pixels around. Looked at are strips of full width, evenly spaced, of half a million pixels together: 2 to 3
    ms of CPU, whatever the size.

    Where the numbers come from: of 17 photographs, product shots and screenshots none has more than 0.011 % of such
    pixels, and with 4:4:4 they gain nothing (-1.2 to 0.8 of SSIMULACRA2 at the same quality, for 3 to 21 % more bytes).
    Pages of red, bright blue, green or yellow text have 9 to 20 % and gain 8 to 65; in navy or grey blue they have
    none, and gain nothing. A tenth of a page, or a quarter of a photograph, in red letters of 14 to 60 pixels has 0.9
    to 4.4 % and gains 12 to 41. One red "SALE -50%" on a photograph of 1.7 megapixels has 0.08 % and gains 7, a red
    note of 200 by 100 pixels on a screenshot of 2.4 megapixels 0.12 % and gains 8.

    Args:
        picture: Upright, in mode RGB or L, as it goes into `encode`.
        coded_sampling: What `JpegImagePlugin.get_sampling` says of the JPEG that the picture came from, unless it
            was made smaller since: colours that were halved already are not looked at. None for any other picture.
    """
    if picture.mode != "RGB" or coded_sampling == _420 or min(picture.size) < _BLOCK:
        return _420
    counts = _chroma_errors(_sample(picture)).histogram()
    return _444 if sum(counts[_VISIBLE_ERROR:]) >= _MOST_VISIBLE * sum(counts) else _420


def _sample(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    count = max(1, _SAMPLE_PIXELS // (width * _STRIP_ROWS))
    if count * _STRIP_ROWS >= height:
        return picture
    sample = Image.new("RGB", (width, count * _STRIP_ROWS))
    for index in range(count):
        top = height * index // count
        sample.paste(picture.crop((0, top, width, top + _STRIP_ROWS)), (0, index * _STRIP_ROWS))
    return sample


def _chroma_errors(picture: Image.Image) -> Image.Image:
    """Of each block, how far the colour of its middle is from its mean, |dCb| + |dCr|."""
    columns, rows = picture.width // _BLOCK, picture.height // _BLOCK
    whole = picture.crop((0, 0, columns * _BLOCK, rows * _BLOCK))
    middles = whole.resize((columns, rows), Image.Resampling.NEAREST)
    _, blue, red = ImageChops.difference(middles.convert("YCbCr"), whole.reduce(_BLOCK).convert("YCbCr")).split()
    return ImageChops.add(blue, red)

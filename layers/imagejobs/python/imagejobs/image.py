"""Step `compress`: one image in, a smaller one out. Pure: no files, no network, no log.

    body ─► read_header, check_limits ─► open, decode ─► in size, sRGB, upright ─► codings ─► smaller? ─► the result
            (image_header)               (image_reader)  (image_size, image_colour)  │           │ no         ▲
                                            │            (image_encoders, image_animation)       │            │
                                            └─► the coded picture in a new file ─────────────────┴────────────┘
                                                (image_rebuild)

When rules meet, safe comes before upright, upright before right colours, right colours before the floor of quality,
that before small, and small before the format and the size that were asked for. An output is never larger than its
input, and holds nothing of what its input held beside the picture but the names that `keep_metadata` asks for.
"""

import dataclasses
import warnings
from collections.abc import Iterator
from itertools import chain

from PIL import Image, JpegImagePlugin
from PIL.ImageFile import ImageFile

from imagejobs import errors, image_animation, image_encoders, image_rebuild
from imagejobs.image_animation import Animation
from imagejobs.image_colour import in_eight_bits, in_srgb, png_colours
from imagejobs.image_encoders import Still
from imagejobs.image_hash import perceptual_hash
from imagejobs.image_header import ImageHeader, check_limits, read_header
from imagejobs.image_metadata import NO_NAMES, Names, read_names, tiff
from imagejobs.image_reader import is_inexact, load, open_picture, read_orientation, read_profile, upright
from imagejobs.image_rebuild_common import NotRebuildable
from imagejobs.image_result import EXACT_SCORE, MEDIA_TYPES, Coding, CompressedImage
from imagejobs.image_size import draft, fitting_size, resized
from imagejobs.options import CompressionOptions

_SIDEWAYS = frozenset({5, 6, 7, 8})


def compress(body: bytes, options: CompressionOptions) -> CompressedImage:
    """Compress one image; the same bytes and options always give the same bytes.

    An animation becomes a WebP when that or "auto" is asked for, and keeps its format when it is JPEG or AVIF.

    Args:
        body: A JPEG, PNG, WebP or GIF file.
        options: How to compress.

    Raises:
        FormatUnsupported: The content is in none of the four formats.
        ImageTooLarge: Over a limit of `image_header`.
        ImageUnreadable: Empty, truncated or damaged.
    """
    header = read_header(body)
    check_limits(header)
    try:
        # Pillow's warnings are of damaged metadata, which is dropped; a size it warns of was refused above.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _compress(body, header, options)
    except errors.ImageError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise errors.ImageTooLarge("The image needs more memory than there is to decode it.") from error
    except Exception as error:
        # A damaged file makes Pillow raise ValueError, SyntaxError, RuntimeError, struct.error and more.
        raise errors.ImageUnreadable(
            f"The {header.format.upper()} image is truncated or damaged and cannot be decoded."
        ) from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Input:
    """A file and what was read of it.

    Attributes:
        body: The file.
        header: What it says of itself.
        orientation: 1 to 8, as in EXIF.
        names: Those that are to stay.
        colours: Chunks of a PNG by which its samples mean something else than sRGB or a profile says; empty for none.
        stored_size: Width and height in pixels before it is turned.
        fitting_size: The same of what it is to become.
        perceptual_hash: Of the decoded picture.
    """

    body: bytes
    header: ImageHeader
    orientation: int
    names: Names
    colours: dict[bytes, bytes]
    stored_size: tuple[int, int]
    fitting_size: tuple[int, int]
    perceptual_hash: int

    @property
    def upright_size(self) -> tuple[int, int]:
        width, height = self.stored_size
        return (height, width) if self.orientation in _SIDEWAYS else (width, height)

    @property
    def exif(self) -> bytes:
        return tiff(1, self.names)


def _compress(body: bytes, header: ImageHeader, options: CompressionOptions) -> CompressedImage:
    with open_picture(body, header) as picture:
        # Pillow's reading of the size may differ from the header's in a forged file.
        check_limits(dataclasses.replace(header, width=picture.width, height=picture.height))
        source = _decode(picture, body, header, options)
        still = _prepared(picture, source, options) if _is_still(picture, header, options) else None
        coding = _smaller(picture, still, source, options)
        content = still.content if still and header.format != "gif" else None
    if isinstance(coding, bytes):
        kept = Coding(coding, header.format, "", None, source.upright_size, EXACT_SCORE)
        return _result(kept, "unchanged", source, content, options)
    outcome = "smaller" if coding.format == header.format else "converted"
    return _result(coding, outcome, source, content, options)


def _decode(picture: ImageFile, body: bytes, header: ImageHeader, options: CompressionOptions) -> _Input:
    size = picture.size
    if header.format == "jpeg":
        draft(picture, _stored_fitting_size(size, read_orientation(picture), options))
    # Of all but JPEG before the EXIF is looked for: there Pillow would load a PNG too, and a failure would be hidden.
    load(picture)
    orientation = read_orientation(picture)
    names = read_names(picture) if options.keep_metadata else NO_NAMES
    colours = png_colours(body, has_profile=read_profile(picture) is not None) if header.format == "png" else {}
    fitting_size = _stored_fitting_size(size, orientation, options)
    alike = perceptual_hash(picture, orientation)
    return _Input(body, header, orientation, names, colours, size, fitting_size, alike)


def _stored_fitting_size(size: tuple[int, int], orientation: int, options: CompressionOptions) -> tuple[int, int]:
    limits = (options.max_width, options.max_height)
    return fitting_size(size, *(reversed(limits) if orientation in _SIDEWAYS else limits))


def _is_still(picture: ImageFile, header: ImageHeader, options: CompressionOptions) -> bool:
    """Tell whether `image_encoders` has codings of it, from pixels that are what is seen."""
    is_kept_gif = (header.format, options.format) == ("gif", "keep")
    return header.frames == 1 and not is_kept_gif and not is_inexact(picture, header)


def _result(
    coding: Coding, outcome: str, source: _Input, content: str | None, options: CompressionOptions
) -> CompressedImage:
    return CompressedImage(
        coding.body,
        coding.format,
        *MEDIA_TYPES[coding.format],
        *coding.size,
        outcome,
        source.perceptual_hash,
        coding.encoder or None,
        coding.encoder_quality,
        score=None if coding.score is None or options.min_quality is None else round(coding.score, 2),
        content=content,
    )


def _smaller(picture: ImageFile, still: Still | None, source: _Input, options: CompressionOptions) -> Coding | bytes:
    """Return a smaller coding, or else the coded picture in a new file.

    An upright RGB picture in its size takes the first coding only: when that is not smaller, the input was well
    compressed. One that has to be turned, converted or resized may go on to the last. There (a picture of a few bytes,
    or at the least quality already) the coded picture stays, and viewers turn it by the orientation that the new file
    still carries. It also stays where nothing smaller reaches the floor of quality.

    Raises:
        ImageUnreadable: Neither is possible: a damaged file is not handed on as it came.
    """
    kept = _rebuilt(source)
    must_change = source.orientation != 1 or picture.mode == "CMYK" or source.fitting_size != source.stored_size
    codings = _codings(picture, still, source, options)
    if kept is not None and not must_change:
        first = next(codings, None)
        if first and len(first.body) < len(kept):
            return first
        if not image_rebuild.has_slack(kept):
            return kept
        codings = chain([first] if first else [], codings)
    smaller = next((coding for coding in codings if len(coding.body) < len(source.body)), None)
    if smaller:
        return smaller
    if kept is not None and must_change and not image_rebuild.has_slack(kept):
        return kept
    floor = "" if options.min_quality is None else f" at min_quality {options.min_quality}"
    damage = f"The {source.header.format.upper()} image is damaged: it can be read, but not made smaller{floor}"
    raise errors.ImageUnreadable(f"{damage}. Save it anew to upload it.")


def _rebuilt(source: _Input) -> bytes | None:
    for names in dict.fromkeys([source.names, NO_NAMES]):
        try:
            return image_rebuild.rebuild(source.body, source.orientation, names)
        except NotRebuildable:
            continue  # without the names, for they may be what it grew by
    return None


def _codings(picture: ImageFile, still: Still | None, source: _Input, options: CompressionOptions) -> Iterator[Coding]:
    header = source.header
    if still:
        yield from image_encoders.encodings(still, options)
    if (header.frames > 1 or header.format == "gif") and not is_inexact(picture, header):
        yield from image_animation.encodings(_animation(picture, source, options), options)


def _prepared(picture: ImageFile, source: _Input, options: CompressionOptions) -> Still:
    header = source.header
    as_stored = header.format == "jpeg" and source.fitting_size == source.stored_size
    sampling = JpegImagePlugin.get_sampling(picture) if as_stored else None
    eight_bits = picture if options.format == "keep" or source.colours else in_eight_bits(picture)
    ready, profile = _ready(eight_bits, source, options)
    bare, most_bytes = _bare(ready), len(source.body)
    return Still(bare, header.format, header.lossless, sampling, profile, source.colours, source.exif, most_bytes)


def _animation(picture: ImageFile, source: _Input, options: CompressionOptions) -> Animation:
    def prepare(frame: Image.Image) -> Image.Image:
        return _ready(frame, source, options)[0]

    _, profile = _ready(picture, source, options)
    is_resized = source.fitting_size != source.stored_size
    return Animation(source.body, source.header, prepare, source.exif, profile, source.colours, is_resized)


def _ready(picture: Image.Image, source: _Input, options: CompressionOptions) -> tuple[Image.Image, bytes | None]:
    """Return a picture or frame in its size, in its colours and upright, and the profile that these need.

    It is the very same where there is nothing to do.
    """
    small = resized(picture, source.fitting_size)
    if source.colours:
        coloured, profile = small, read_profile(small)
    else:
        coloured, profile = in_srgb(small, keep_wide_gamut=options.keep_wide_gamut)
    return upright(coloured, source.orientation), profile


def _bare(picture: Image.Image) -> Image.Image:
    """Return the picture with nothing beside it that an encoder might write, on the same pixels."""
    transparency = picture.info.get("transparency")
    bare = picture._new(picture.im)
    bare.info = {} if transparency is None else {"transparency": transparency}
    return bare

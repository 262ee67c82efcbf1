"""Step `compress`: which codings of a still picture to try, in which order.

    options.format ─► "keep": the input's own format
                      "jpeg", "webp", "avif": that one
                      "auto": AVIF for photographs; for graphics the smallest of PNG, lossless WebP and AVIF in 4:4:4

`encodings` yields codings from the best-looking to the smallest, made one by one as they are asked for. With a
`min_quality`, those below it are left out, and a higher quality is searched for instead (image_floor).
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice

from PIL import Image

from imagejobs import image_avif, image_floor, image_jpeg, image_png, image_webp
from imagejobs.image_colour import flattened, in_eight_bits
from imagejobs.image_content import is_photograph
from imagejobs.image_floor import Floor, Tries
from imagejobs.image_quality import encoder_quality
from imagejobs.image_result import EXACT_SCORE, Coding
from imagejobs.image_size import with_alpha
from imagejobs.options import CompressionOptions

_QUALITY_STEP = 10
_FULL_CHROMA = 0


@dataclass(frozen=True)
class Still:
    """A decoded picture that is ready to be coded: upright, in its size, with nothing in its `info` but transparency.

    Attributes:
        picture: In any mode but CMYK; of 16 bits only when it is to be a PNG again.
        format: Of the input.
        lossless: Whether the input stored every pixel exactly.
        coded_sampling: Of a JPEG's chroma, Pillow's number; None when the input is none, or was made smaller since.
        profile: Of the picture's colours; None for sRGB.
        colours: Chunks of a PNG that say what its samples mean; empty for sRGB.
        exif: In TIFF form, or None.
        below_bytes: How many a coding must stay below to be of use.
    """

    picture: Image.Image
    format: str
    lossless: bool
    coded_sampling: int | None = None
    profile: bytes | None = None
    colours: dict[bytes, bytes] = field(default_factory=dict)
    exif: bytes | None = None
    below_bytes: int = sys.maxsize

    @cached_property
    def explicit(self) -> Image.Image:
        """The picture as formats other than PNG take it: grey or RGB, with alpha only where it shows."""
        return image_png.without_idle_alpha(with_alpha(self.picture))

    @cached_property
    def content(self) -> str | None:
        """What a picture that was stored without loss is, "photograph" or "graphic"; None for any other."""
        if not self.lossless:
            return None
        return "photograph" if is_photograph(in_eight_bits(self.explicit)) else "graphic"

    @property
    def is_graphic(self) -> bool:
        """Whether lossy coding would show, or be larger: what is lossy already is no such picture."""
        return self.content == "graphic"

    @cached_property
    def tries(self) -> Tries:
        """How many of its codings may still be scored."""
        return Tries.of(self.picture)

    @property
    def has_alpha(self) -> bool:
        """Whether anything shows through."""
        return "A" in self.explicit.getbands()

    @property
    def chroma(self) -> int:
        """Pillow's number of the subsampling to use."""
        colours = self.explicit.convert("RGB") if self.explicit.mode == "RGBA" else self.explicit
        return image_jpeg.choose_subsampling(colours, self.coded_sampling)

    def coding(self, body: bytes, format_name: str, encoder: str, number: int | None = None) -> Coding:
        """Describe what an encoder made of this picture."""
        return Coding(body, format_name, encoder, number, self.picture.size)

    def exact_coding(self, body: bytes, format_name: str, encoder: str) -> Coding:
        """Describe what an encoder made of this picture without loss."""
        return replace(self.coding(body, format_name, encoder), score=EXACT_SCORE)


def encodings(still: Still, options: CompressionOptions) -> Iterator[Coding]:
    """Yield codings in the format that is asked for, each smaller and poorer than the one before, then in the input's.

    Of a GIF there are none in its own: `image_animation` has them. A picture whose colours only a PNG can tell stays
    one. A format that has no room for the picture, or whose encoder needs more memory than the process has, is passed
    over.
    """
    wish = still.format if options.format == "keep" or still.colours else options.format
    for name in dict.fromkeys([wish, still.format]):
        if name in _LADDERS:
            yield from _LADDERS[name](still, options)


def _lossy(make: image_floor.Make, picture: Image.Image, still: Still, options: CompressionOptions) -> Iterator[Coding]:
    """Yield what `make` makes of `picture` at ever lower qualities, or else as `min_quality` asks."""
    if options.min_quality is None:
        yield from map(make, _ladder(options.quality))
    else:
        floor = Floor(options.min_quality, picture, still.below_bytes, still.tries)
        yield from image_floor.search(make, _ladder(options.quality), floor)


def _ladder(quality: int) -> Iterator[int]:
    yield from range(quality, 1, -_QUALITY_STEP)
    yield 1


def _jpegs(still: Still, options: CompressionOptions) -> Iterator[Coding]:
    if max(still.picture.size) > image_jpeg.MAX_SIDE_PIXELS:
        return
    opaque = flattened(still.explicit, options.background, still.profile)
    chroma = image_jpeg.choose_subsampling(opaque, still.coded_sampling)
    encoder = image_jpeg.encoder_name(opaque, options.effort, chroma)

    def make(quality: int) -> Coding:
        body = image_jpeg.encode(opaque, quality, options.effort, chroma, still.profile, still.exif)
        return still.coding(body, "jpeg", encoder, encoder_quality(encoder, quality))

    yield from _lossy(make, opaque, still, options)


def _webps(still: Still, options: CompressionOptions) -> Iterator[Coding]:
    stays_lossless = still.lossless if still.format == "webp" else still.is_graphic
    if stays_lossless:
        if not image_webp.fits(still.explicit, lossless=True):
            return
        yield _lossless_webp(still)
    if image_webp.fits(still.explicit, lossless=False):
        yield from _lossy(partial(_lossy_webp, still), still.explicit, still, options)


def _lossy_webp(still: Still, quality: int) -> Coding:
    body = image_webp.encode(still.explicit, quality, still.profile, still.exif)
    return still.coding(body, "webp", "webp", encoder_quality("webp", quality))


def _lossless_webp(still: Still) -> Coding:
    body = image_webp.encode(still.explicit, None, still.profile, still.exif)
    return still.exact_coding(body, "webp", "webp-lossless")


def _avifs(still: Still, options: CompressionOptions) -> Iterator[Coding]:
    if not image_avif.fits(still.explicit):
        return
    chroma = _FULL_CHROMA if still.is_graphic else still.chroma

    def make(quality: int) -> Coding:
        body = image_avif.encode(still.explicit, quality, chroma, still.profile, still.exif)
        return still.coding(body, "avif", "avif", encoder_quality("avif", quality))

    yield from _lossy(make, still.explicit, still, options)


def _pngs(still: Still, options: CompressionOptions) -> Iterator[Coding]:
    codings = _png_ladder(still)
    if options.min_quality is None:
        return codings
    return image_floor.reaching(codings, Floor(options.min_quality, still.picture, still.below_bytes, still.tries))


def _png_ladder(still: Still) -> Iterator[Coding]:
    has_profile = still.profile is not None
    for picture, level, is_exact in image_png.smaller_pictures(still.picture, has_profile=has_profile):
        yield _png(still, picture, level, is_exact=is_exact)


def _png(still: Still, picture: Image.Image, level: int = 0, *, is_exact: bool = True) -> Coding:
    body = image_png.encode(picture, still.colours, still.profile, still.exif, level)
    describe = still.exact_coding if is_exact else still.coding
    return describe(body, "png", "png-palette" if picture.mode == "P" else "png")


def _autos(still: Still, options: CompressionOptions) -> Iterator[Coding]:
    """Yield what is smallest of all that browsers show, then lossy codings of less quality."""
    if still.is_graphic:
        yield min(_of_graphic(still, options), key=lambda coding: len(coding.body))
    yield from _avifs(still, options)
    if still.lossless and not still.is_graphic and not still.has_alpha:
        yield from _jpegs(still, options)  # a photograph that is too large for AVIF


def _of_graphic(still: Still, options: CompressionOptions) -> Iterator[Coding]:
    """Yield what to choose from; few colours make sharp edges, which are small without loss and frayed with it."""
    exact = image_png.exact_and_small(still.picture, has_profile=still.profile is not None)
    if exact.mode in {"1", "P"} or not image_webp.fits(still.explicit, lossless=True):
        yield _png(still, exact)
    else:
        yield from islice(_avifs(still, options), 1)
    if image_webp.fits(still.explicit, lossless=True):
        yield _lossless_webp(still)


_LADDERS: dict[str, Callable[[Still, CompressionOptions], Iterator[Coding]]] = {
    "jpeg": _jpegs,
    "webp": _webps,
    "avif": _avifs,
    "png": _pngs,
    "auto": _autos,
}

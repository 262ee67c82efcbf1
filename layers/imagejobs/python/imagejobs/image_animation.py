"""Step `compress`: animated GIF, PNG and WebP, and still GIF, which is an animation of one frame.

Pillow's writers merge equal frames, round durations and quantise colours. So a coding counts only when it
was read back and holds what the original holds; otherwise the original's coded frames stay.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from PIL import Image

from imagejobs import image_png, image_webp
from imagejobs.image_header import ImageHeader, read_header
from imagejobs.image_quality import encoder_quality
from imagejobs.image_reader import open_picture
from imagejobs.image_result import EXACT_SCORE, Coding
from imagejobs.options import CompressionOptions

MAX_RECODED_PIXELS = 64_000_000
"""Pixels of all frames of an animation that is coded anew: Pillow's writers hold most of them at 4 bytes each, and
lossy WebP of so many takes some 11 s."""

Prepare = Callable[[Image.Image], Image.Image]
"""Brings a decoded frame into its size and colours, upright; returns the frame itself when there is nothing to do."""

_MAX_LOOP = 65_535  # 16 bits in GIF and WebP


@dataclass(frozen=True, slots=True)
class Animation:
    """A file of frames, and what is to become of each.

    Attributes:
        body: The file.
        header: What `body` says of itself.
        prepare: What to do with each frame.
        exif: In TIFF form; empty for none.
        profile: Of the prepared frames' colours; None for sRGB.
        colours: Chunks of a PNG that say what its samples mean; empty for sRGB.
        is_resized: Whether `prepare` changes the frames' size, so that no pixel stays what it is.
    """

    body: bytes
    header: ImageHeader
    prepare: Prepare
    exif: bytes = b""
    profile: bytes | None = None
    colours: Mapping[bytes, bytes] = field(default_factory=dict)
    is_resized: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """What must survive in an animation.

    Attributes:
        size: Width and height in pixels, upright.
        loop: As the format counts it, 0 for ever; None when the file does not say, or for a single frame.
        durations_ms: Milliseconds of each frame; empty for a single frame.
        digests: One of each frame's visible pixels; empty when they need not be exact.
    """

    size: tuple[int, int]
    loop: int | None
    durations_ms: tuple[float, ...]
    digests: tuple[bytes, ...]


def encodings(animation: Animation, options: CompressionOptions) -> Iterator[Coding]:
    """Yield codings as WebP when that or "auto" is asked for, then in the animation's own format.

    None is yielded that would lose frames, timing, loop or exact pixels, and nothing that would need too much memory.
    With a `min_quality` all of them are exact: frames are not scored.
    """
    header = animation.header
    if header.width * header.height * header.frames > MAX_RECODED_PIXELS:
        return
    to_webp = header.frames > 1 and options.format in {"webp", "auto"}
    for name in dict.fromkeys(["webp", header.format] if to_webp else [header.format]):
        if coding := _checked(animation, name, options.quality if options.min_quality is None else None):
            yield coding


def read_timeline(animation: Animation, *, exact: bool) -> Timeline:
    """Decode every frame, which also proves that each can be decoded; digests are taken when pixels must be `exact`."""
    durations: list[float] = []
    digests: list[bytes] = []
    frames = animation.header.frames
    with open_picture(animation.body, animation.header) as picture:
        for index in range(frames):
            picture.seek(index)
            picture.load()
            durations.append(picture.info.get("duration", 0))
            if exact:
                digests.append(_visible_digest(animation.prepare(picture)))
        size = animation.prepare(picture).size
        loop = picture.info.get("loop") if frames > 1 else None
    return Timeline(size, loop, tuple(durations) if frames > 1 else (), tuple(digests))


def _visible_digest(frame: Image.Image) -> bytes:
    # "RGBa" is multiplied by alpha: what is fully transparent has one colour, whatever is stored there.
    return hashlib.blake2b(frame.convert("RGBA").convert("RGBa").tobytes(), digest_size=16).digest()


def _checked(animation: Animation, format_name: str, quality: int | None) -> Coding | None:
    """Return a coding that was read back, or None when it does not hold what the original holds.

    Args:
        animation: The original.
        format_name: Of the coding.
        quality: 1 to 100, of a lossy coding; None when every pixel must stay.
    """
    header = animation.header
    converted = format_name != header.format
    exact = quality is None or (header.lossless and not converted and not animation.is_resized)
    wanted = read_timeline(animation, exact=exact)
    if converted and header.format == "gif":
        wanted = replace(wanted, loop=_plays(wanted.loop))
    coding = _encode(animation, wanted, format_name, quality)
    if coding is None:
        return None
    coded = Animation(coding.body, read_header(coding.body), lambda frame: frame)
    same = coded.header.frames == header.frames and read_timeline(coded, exact=exact) == wanted
    return replace(coding, score=EXACT_SCORE if exact else None) if same else None


def _plays(gif_loop: int | None) -> int:
    """GIF counts repetitions, WebP how often it plays; as gif2webp does, the way that browsers play GIF."""
    return min(gif_loop + 1, _MAX_LOOP) if gif_loop else 1 if gif_loop is None else 0


def _encode(animation: Animation, timeline: Timeline, format_name: str, quality: int | None) -> Coding | None:
    file = io.BytesIO()
    with open_picture(animation.body, animation.header) as picture:
        if picture.info.get("default_image"):
            return None  # an animated PNG whose still stand-in is not one of the frames
        if animation.colours and format_name != "png":
            return None  # only a PNG can tell them
        changes = animation.prepare(picture) is not picture
        options = _save_options(animation, timeline, format_name, quality, changes=changes)
        if not changes:
            picture.save(file, format_name.upper(), **options)
        else:
            first, *others = _frames(picture, animation)
            first.save(file, format_name.upper(), append_images=others, **options)
    lossy = format_name == "webp" and not options["lossless"]
    encoder = "webp-lossless" if format_name == "webp" and not lossy else format_name
    number = encoder_quality("webp", quality) if lossy and quality is not None else None
    return Coding(file.getvalue(), format_name, encoder, number, timeline.size)


def _frames(picture: Image.Image, animation: Animation) -> Iterator[Image.Image]:
    for index in range(animation.header.frames):
        picture.seek(index)
        yield animation.prepare(picture)


def _save_options(
    animation: Animation, timeline: Timeline, format_name: str, quality: int | None, *, changes: bool
) -> dict[str, object]:
    options: dict[str, object] = {"save_all": True, "comment": b""}
    header, profile = animation.header, animation.profile
    if timeline.durations_ms:
        options["duration"] = list(timeline.durations_ms)
    if timeline.loop is not None:
        options["loop"] = timeline.loop
    if format_name == "webp":
        lossless = quality is None or (header.lossless and header.format == "webp")
        options |= image_webp.options(None if lossless else quality, profile, animation.exif)
        options["allow_mixed"] = header.lossless and not lossless  # frames of flat colours are smaller without loss
    if format_name == "png":
        # Frames come composed from Pillow: each one replaces the one before.
        options |= {"disposal": 0, "blend": 0, "pnginfo": image_png.png_info(animation.colours)}
        options |= {"icc_profile": profile, "exif": animation.exif}
    if format_name == "gif" and changes:
        options["disposal"] = 2  # so do those that were made anew, where something shows through
    return options

"""Step `compress`: animated GIF, PNG and WebP, and still GIF, which is an animation of one frame.

Pillow's writers merge equal frames, round durations and quantise colours. So a coding counts only when it
was read back and holds what the original holds; otherwise the original's coded frames stay.
"""

import hashlib
from dataclasses import dataclass

from PIL import Image

from imagejobs import image_encoders
from imagejobs.image_header import ImageHeader, read_header
from imagejobs.image_reader import open_picture, read_profile, upright

MAX_RECODED_PIXELS = 64_000_000
"""Pixels of all frames of an animation that is coded anew: Pillow's writers hold most of them at 4 bytes each, and
lossy WebP of so many takes some 11 s."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """What must survive in an animation.

    Attributes:
        size: Width and height in pixels, upright.
        loop: Times to play, 0 for ever; None when the file does not say, or for a single frame.
        durations_ms: Milliseconds of each frame; empty for a single frame.
        digests: One of each frame's visible pixels; empty when the coding is lossy.
    """

    size: tuple[int, int]
    loop: int | None
    durations_ms: tuple[float, ...]
    digests: tuple[bytes, ...]


def encode_animation(body: bytes, header: ImageHeader, quality: int, orientation: int, most_bytes: int) -> bytes | None:
    """Code an animation anew in its own format, upright.

    Args:
        body: The file.
        header: What `body` says of itself.
        quality: 1 to 100, for lossy WebP.
        orientation: 1 to 8, as in EXIF.
        most_bytes: What the coding must be smaller than.

    Returns:
        The coding, or None when it would not be that small, would lose frames, timing, loop or exact pixels, or
        would need too much memory.
    """
    original = read_timeline(body, header, orientation)
    coded = _encode(body, header, original, quality, orientation)
    if coded is None or len(coded) >= most_bytes:
        return None
    coded_header = read_header(coded)
    same = coded_header.frames == header.frames and original == read_timeline(coded, coded_header, 1)
    return coded if same else None


def read_timeline(body: bytes, header: ImageHeader, orientation: int) -> Timeline:
    """Decode every frame, which also proves that each can be decoded."""
    durations: list[float] = []
    digests: list[bytes] = []
    with open_picture(body, header) as picture:
        for index in range(header.frames):
            picture.seek(index)
            picture.load()
            durations.append(picture.info.get("duration", 0))
            if header.lossless:
                digests.append(_visible_digest(upright(picture, orientation)))
        size = upright(picture, orientation).size
        moves = header.frames > 1
        loop = picture.info.get("loop") if moves else None
    return Timeline(size, loop, tuple(durations) if moves else (), tuple(digests))


def _visible_digest(frame: Image.Image) -> bytes:
    # "RGBa" is multiplied by alpha: what is fully transparent has one colour, whatever is stored there.
    return hashlib.blake2b(frame.convert("RGBA").convert("RGBa").tobytes(), digest_size=16).digest()


def _encode(body: bytes, header: ImageHeader, timeline: Timeline, quality: int, orientation: int) -> bytes | None:
    if header.width * header.height * header.frames > MAX_RECODED_PIXELS:
        return None
    with open_picture(body, header) as picture:
        if picture.info.get("default_image"):
            return None  # an animated PNG whose still stand-in is not one of the frames
        options = _save_options(picture, body, header, timeline, quality)
        if orientation == 1:
            return image_encoders.saved(picture, header.format.upper(), **options)
        frames = [_upright_frame(picture, index, orientation) for index in range(header.frames)]
    return image_encoders.saved(frames[0], header.format.upper(), append_images=frames[1:], **options)


def _upright_frame(picture: Image.Image, index: int, orientation: int) -> Image.Image:
    picture.seek(index)
    return upright(picture, orientation).copy()


def _save_options(
    picture: Image.Image, body: bytes, header: ImageHeader, timeline: Timeline, quality: int
) -> dict[str, object]:
    options: dict[str, object] = {"save_all": True, "comment": b""}
    if timeline.durations_ms:
        options["duration"] = list(timeline.durations_ms)
    if timeline.loop is not None:
        options["loop"] = timeline.loop
    if header.format == "webp":
        options |= image_encoders.webp_options(picture, None if header.lossless else quality)
    if header.format == "png":
        # Frames come composed from Pillow: each one replaces the one before.
        options |= {"disposal": 0, "blend": 0, "pnginfo": image_encoders.colour_chunks(body)}
        options["icc_profile"] = read_profile(picture)
    return options

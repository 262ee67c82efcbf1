"""Step `compress`: colours that look the same without a profile, as sRGB, which viewers assume where there is none.

Transforms of RGB and grey are relative colorimetric with black point compensation: what sRGB has comes out exactly,
what it has not is cut off, as in browsers. Those of CMYK are perceptual, as its profiles have tables for that.
"""

import io
from functools import lru_cache
from typing import cast

from PIL import Image, ImageCms

from imagejobs.image_header import PNG_COLOUR_CHUNKS, png_chunks
from imagejobs.image_reader import read_profile, usable_profile
from imagejobs.image_size import with_alpha

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_UNUSABLE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
_KEPT_TRANSFORMS = 8  # a few MB each; building one takes 23 ms

# Profiles of sRGB differ by rounding and in how they draw the curve near black.
_SAME_COLOUR_STEPS = 3
_PROBE_LEVELS = (0, 20, 51, 102, 153, 204, 255)

# Of the area in CIE xy that a colour space spans: Display P3 and Adobe RGB have 1.35 times that of sRGB.
_LEAST_WIDER = 1.05

# What says sRGB in a PNG: gamma 1/2.2 and Rec. 709 primaries in units of 1/100,000 (PNG, 11.3.2), or H.273 code points.
_SRGB_CHUNKS = {
    b"cICP": {bytes((1, 13, 0, 1))},
    b"gAMA": {(45_454).to_bytes(4, "big"), (45_455).to_bytes(4, "big")},
    b"cHRM": {b"".join(n.to_bytes(4, "big") for n in (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000))},
}


def in_srgb(picture: Image.Image, *, keep_wide_gamut: bool) -> tuple[Image.Image, bytes | None]:
    """Return a decoded picture in sRGB and None; or as it is, with the profile that it cannot do without.

    That is one of more colours than sRGB when those are to be kept, and that of 16-bit grey.
    CMYK without a usable profile goes by Pillow's formula. A profile that does not fit the picture is dropped.
    """
    profile = telling_profile(read_profile(picture))
    if picture.mode == "CMYK":
        through_profile = _cmyk_through(picture, profile) if profile else None
        return through_profile or picture.convert("RGB"), None
    if profile is None or picture.mode == "1":
        return picture, None
    coloured = picture.mode in {"P", "RGB", "RGBA"}
    if picture.mode == "I;16" or (keep_wide_gamut and coloured and _is_wide(profile)):
        return picture, profile
    return _through(picture, profile), None


def in_eight_bits(picture: Image.Image) -> Image.Image:
    """Return 16-bit grey as 8-bit grey; Pillow's own conversion cuts off at 255."""
    return picture.point(lambda sample: sample * (1 / 257)).convert("L") if picture.mode == "I;16" else picture


def flattened(picture: Image.Image, background: str, profile: bytes | None) -> Image.Image:
    """Lay what is transparent onto a background, in the picture's own colours.

    Args:
        picture: Grey or RGB, with alpha or without.
        background: sRGB as "rrggbb" in hexadecimal.
        profile: Of the picture's colours; None for sRGB.
    """
    if "A" not in picture.getbands():
        return picture
    colour = Image.new("RGB", (1, 1), f"#{background}")
    if profile:
        colour = _applied(_from_srgb(profile), colour)
    opaque = colour.convert("RGBA").resize(picture.size)
    return Image.alpha_composite(opaque, picture.convert("RGBA")).convert("RGB")


def telling_profile(profile: bytes | None) -> bytes | None:
    """Return a profile that is usable and says more than sRGB, which is assumed without one; else None."""
    usable = usable_profile(profile)
    return None if usable and is_srgb(usable) else usable


def is_srgb(profile: bytes) -> bool:
    """Tell whether a usable profile changes no colour that can be seen."""
    try:
        return _is_srgb(profile)
    except _UNUSABLE:
        return False


def png_colours(body: bytes, *, has_profile: bool) -> dict[bytes, bytes]:
    """Return the chunks of a PNG by which its samples mean something else than sRGB; empty when they mean that.

    Of several kinds one counts: cICP before the profile, that before sRGB, that before gAMA and cHRM (PNG, 4.3).

    Args:
        body: The file.
        has_profile: Whether a usable profile goes with it. Both cICP and a profile are for different decoders: then no
            sample may change.
    """
    chunks = {name: data for name, data in png_chunks(body) if len(data) == PNG_COLOUR_CHUNKS.get(name)}
    if b"cICP" in chunks and has_profile:
        return chunks
    if b"cICP" not in chunks and (has_profile or b"sRGB" in chunks):
        return {}
    other = {name for name, data in chunks.items() if name in _SRGB_CHUNKS and data not in _SRGB_CHUNKS[name]}
    decisive = {b"cICP"} if b"cICP" in chunks else {b"gAMA", b"cHRM"}
    return chunks if other & decisive else {}


def _through(picture: Image.Image, profile: bytes) -> Image.Image:
    try:
        return _palette_through(picture, profile) if picture.mode == "P" else _pixels_through(picture, profile)
    except _UNUSABLE:
        return picture  # damaged, or of another colour space


def _palette_through(picture: Image.Image, profile: bytes) -> Image.Image:
    palette = bytes(picture.getpalette("RGB") or b"")
    colours = Image.frombytes("RGB", (len(palette) // 3, 1), palette)
    changed = picture.copy()
    changed.putpalette(_applied(_to_srgb(profile, "RGB"), colours).tobytes())
    return changed


def _pixels_through(picture: Image.Image, profile: bytes) -> Image.Image:
    explicit = with_alpha(picture)
    if explicit.mode in {"RGB", "RGBA"}:
        return _applied(_to_srgb(profile, explicit.mode), explicit)
    grey = explicit.getchannel("L")
    of_grey = _space(profile) == "GRAY"
    coloured = grey if of_grey else grey.convert("RGB")
    changed = _applied(_to_srgb(profile, coloured.mode), coloured).convert("L")
    return Image.merge("LA", (changed, explicit.getchannel("A"))) if explicit.mode == "LA" else changed


def _cmyk_through(picture: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        return _applied(_to_srgb(profile, "CMYK"), picture)
    except _UNUSABLE:
        return None


@lru_cache(maxsize=_KEPT_TRANSFORMS)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    output_mode = "RGBA" if mode == "RGBA" else "RGB"
    return _transform(_opened(profile), _SRGB, mode, output_mode)


@lru_cache(maxsize=_KEPT_TRANSFORMS)
def _from_srgb(profile: bytes) -> ImageCms.ImageCmsTransform:
    return _transform(_SRGB, _opened(profile), "RGB", "RGB")


def _transform(
    source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile, source_mode: str, target_mode: str
) -> ImageCms.ImageCmsTransform:
    # NOCACHE: the one-pixel cache inside a transform is not safe to share between threads.
    flags, intent = ImageCms.Flags.NOCACHE, ImageCms.Intent.PERCEPTUAL
    if source_mode != "CMYK":
        flags, intent = flags | ImageCms.Flags.BLACKPOINTCOMPENSATION, ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(source, target, source_mode, target_mode, intent, flags)


def _applied(transform: ImageCms.ImageCmsTransform, picture: Image.Image) -> Image.Image:
    return cast("Image.Image", ImageCms.applyTransform(picture, transform))  # None is only for in place


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _space(profile: bytes) -> str:
    return str(_opened(profile).profile.xcolor_space).strip()


@lru_cache(maxsize=_KEPT_TRANSFORMS)
def _is_srgb(profile: bytes) -> bool:
    """Hold a cube of colours against what the profile makes of them."""
    if _space(profile) != "RGB":
        return False
    cube = [(red, green, blue) for red in _PROBE_LEVELS for green in _PROBE_LEVELS for blue in _PROBE_LEVELS]
    before = bytes(level for colour in cube for level in colour)
    probe = Image.frombytes("RGB", (len(cube), 1), before)
    after = _applied(_to_srgb(profile, "RGB"), probe).tobytes()
    return all(abs(old - new) <= _SAME_COLOUR_STEPS for old, new in zip(before, after, strict=True))


@lru_cache(maxsize=_KEPT_TRANSFORMS)
def _is_wide(profile: bytes) -> bool:
    return _gamut_area(_opened(profile)) > _LEAST_WIDER * _gamut_area(_SRGB)


def _gamut_area(profile: ImageCms.ImageCmsProfile) -> float:
    """Area of the triangle that the primaries span in CIE xy; 0 where there are none, as in grey."""
    colours = profile.profile
    if not (colours.red_primary and colours.green_primary and colours.blue_primary):
        return 0.0
    (ax, ay, _), (bx, by, _), (cx, cy, _) = (
        primary[1] for primary in (colours.red_primary, colours.green_primary, colours.blue_primary)
    )
    return float(abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) / 2)

"""Pictures for the tests of `compress`: noisy, oriented, animated, CMYK with a profile, and broken ones."""

import io
import math
import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageDraw, ImageOps

# What each format holds, as Pillow names it.
MODES = {
    "JPEG": ["L", "RGB", "CMYK"],
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "GIF": ["1", "L", "P"],
}
CASES = [(pillow_format, mode) for pillow_format, modes in MODES.items() for mode in modes]

# The four corners of `quadrants`, read clockwise from the top left: no turn or mirroring of them is the same.
CORNERS = ((220, 30, 30), (30, 200, 40), (40, 60, 220), (240, 230, 60))

STORED_BY_ORIENTATION = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def noise(size: tuple[int, int] = (96, 64), mode: str = "RGB", seed: int = 1) -> Image.Image:
    """A soft picture with grain, in which lossy coding and filters have something to do."""
    width, height = size
    channels = len(Image.new(mode, (1, 1)).getbands())
    grain = Image.frombytes("L", size, random.Random(seed).randbytes(width * height))
    bands = []
    for index in range(channels):
        ramp = Image.linear_gradient("L").resize(size).rotate(90 * index)
        bands.append(Image.blend(ramp, grain, 0.08))
    return Image.merge(mode, bands) if channels > 1 else bands[0].convert(mode)


def quadrants(width: int = 120, height: int = 80) -> Image.Image:
    picture = Image.new("RGB", (width, height), CORNERS[0])
    draw = ImageDraw.Draw(picture)
    draw.rectangle((width // 2, 0, width, height // 2), fill=CORNERS[1])
    draw.rectangle((width // 2, height // 2, width, height), fill=CORNERS[2])
    draw.rectangle((0, height // 2, width // 2 - 1, height), fill=CORNERS[3])
    return picture


def corners(picture: Image.Image) -> list[tuple[int, ...]]:
    rgb = picture.convert("RGB")
    right, bottom = rgb.width - 12, rgb.height - 12
    return [rgb.getpixel(point) for point in ((12, 12), (right, 12), (right, bottom), (12, bottom))]


def is_close(left: tuple[int, ...], right: tuple[int, ...], tolerance: int = 25) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(left, right, strict=True))


def encode(picture: Image.Image, pillow_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, pillow_format, **options)
    return file.getvalue()


def decode(body: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(body))
    picture.load()
    return picture


def encode_oriented(upright: Image.Image, orientation: int, pillow_format: str, **options: object) -> bytes:
    """Store a picture so that a viewer who applies `orientation` sees `upright`."""
    operation = STORED_BY_ORIENTATION[orientation]
    stored = upright.transpose(operation) if operation is not None else upright
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encode(stored, pillow_format, exif=exif, **options)


def as_seen(body: bytes) -> Image.Image:
    return ImageOps.exif_transpose(decode(body))


def moving_frames(mode: str = "RGB", count: int = 5) -> list[Image.Image]:
    background = (0, 0, 0, 0) if mode == "RGBA" else (20, 60, 120, 255)
    frames = []
    for index in range(count):
        frame = Image.new("RGBA", (160, 100), background)
        ImageDraw.Draw(frame).ellipse((index * 20, 20, index * 20 + 50, 70), fill=(250, 40, 30 + index, 255))
        frames.append(frame.convert(mode))
    return frames


def animate(frames: list[Image.Image], pillow_format: str, **options: object) -> bytes:
    return encode(frames[0], pillow_format, save_all=True, append_images=frames[1:], **options)


def frame_durations(body: bytes) -> list[float]:
    picture = Image.open(io.BytesIO(body))
    durations = []
    for index in range(picture.n_frames):
        picture.seek(index)
        picture.load()
        durations.append(picture.info.get("duration", 0))
    return durations


def png_file(*chunks: tuple[bytes, bytes]) -> bytes:
    coded = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + coded


def cmyk_profile(lab_of_full_cyan: tuple[int, int, int]) -> bytes:
    """A minimal ICC v2 output profile (ICC.1:2001-04, lut8Type) whose cyan is whatever colour is asked for.

    Args:
        lab_of_full_cyan: L, a and b in the 8-bit coding: L * 255 / 100, a + 128, b + 128.
    """
    grid = [_cyan_grid_point(index, lab_of_full_cyan) for index in range(16)]
    straight = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if index % 4 == 0 else 0 for index in range(9)))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + straight * 4 + b"".join(grid) + straight * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text\0\0\0\0none\0\0\0\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    return _icc_file({b"desc": description, b"cprt": text, b"wtpt": white, b"A2B0": lut})


def _cyan_grid_point(index: int, lab_of_full_cyan: tuple[int, int, int]) -> bytes:
    cyan, other_inks = index >> 3, index & 7
    if other_inks:
        return bytes((20, 128, 128))
    return bytes(lab_of_full_cyan if cyan else (255, 128, 128))


def rgb_profile(colorants: tuple[tuple[float, float, float], ...], gamma: float) -> bytes:
    """A minimal ICC v2 display profile: XYZ of red, green and blue under D50, and one curve for all."""
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    tags = {name: _xyz(colorant) for name, colorant in zip(names, colorants, strict=True)}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma))
    return _icc_file(_described() | tags | curves, b"mntr", b"RGB ", b"XYZ ")


def grey_profile(gamma: float) -> bytes:
    """A minimal ICC v2 profile of grey."""
    return _icc_file(_described() | {b"kTRC": _curve(gamma)}, b"mntr", b"GRAY", b"XYZ ")


def _described() -> dict[bytes, bytes]:
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    return {b"desc": description, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": _xyz((0.9642, 1.0, 0.8249))}


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))


def soft_colours(mode: str, size: tuple[int, int] = (300, 200)) -> Image.Image:
    """Every hue, softly, so that lossy coding changes little; with alpha where the mode has it."""
    ramp, across = Image.linear_gradient("L").rotate(90).resize(size), Image.linear_gradient("L").resize(size)
    if mode in {"L", "LA"}:
        return ramp if mode == "L" else Image.merge("LA", (ramp, across))
    picture = Image.merge("HSV", (ramp, across.point(lambda level: 50 + level * 0.4), Image.new("L", size, 210)))
    rgb = picture.convert("RGB")
    if mode == "P":
        return rgb.quantize(64)
    if mode == "RGBA":
        rgb.putalpha(across.point(lambda level: 100 + level // 2))
    return rgb


def in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """What a colour engine makes of a picture with an RGB profile."""
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.profileToProfile(picture.convert("RGB"), source, target, intent, outputMode="RGB")


def mean_delta_e(left: Image.Image, right: Image.Image) -> float:
    """The mean distance of two sRGB pictures in CIE Lab (1976); about 2 can be seen side by side."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    bands = [ImageCms.applyTransform(each.convert("RGB"), to_lab).split() for each in (left, right)]
    light, *others = (ImageChops.difference(*pair).tobytes() for pair in zip(*bands, strict=True))
    # Lightness is stored in 255 steps of a hundred; a and b in whole numbers.
    steps = zip((value * 100 / 255 for value in light), *others, strict=True)
    return sum(math.hypot(*step) for step in steps) / len(light)


def _icc_file(tags: dict[bytes, bytes], kind: bytes = b"prtr", colours: bytes = b"CMYK", pcs: bytes = b"Lab ") -> bytes:
    offset = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, offset + len(data), len(content))
        data += padded
    size = offset + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"test", 0x02400000, kind, colours, pcs)
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + data


def files_under(variable: str, pattern: str = "**/*") -> list[Path]:
    """Files of the folder that an environment variable names; the test is skipped without it."""
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} is not set")
    return sorted(path for path in Path(folder).glob(pattern) if path.is_file())


def picture_of(mode: str, size: tuple[int, int], seed: int = 1) -> Image.Image:
    """Noise in any mode of `MODES`."""
    if mode == "P":
        return noise(size, "RGB", seed).quantize(64)
    if mode == "I;16":
        grey = noise(size, "L", seed).tobytes()
        return Image.frombytes("I;16", size, b"".join(bytes((value ^ 0x55, value)) for value in grey))
    return noise(size, mode, seed)

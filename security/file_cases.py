"""Files that are no sound pictures, or more than a picture: bombs, truncations, damage, polyglots, planted payloads."""

import io
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import ExifTags, Image, ImageCms

# Planted beside the pixels, never among them: what is served must not hold a word of it.
MARK = b"planted-payload"
PAYLOAD = b"<?php system('id') ?><script>alert('" + MARK + b"')</script>"
TRUNCATIONS = (0.02, 0.3, 0.5, 0.8, 0.99)
SEED = 1

Case = tuple[str, bytes]


def hostile_files(mutations: int, folder: Path | None = None) -> Iterator[Case]:
    """What each is, and its bytes.

    Args:
        mutations: Damaged copies of every sound file.
        folder: Files of third parties, if there are any.
    """
    sound = dict(sound_files())
    yield from sound.items()
    yield from _foreign()
    yield from _bombs()
    for name, body in sound.items():
        yield from _truncated(name, body)
        yield from _planted(name, body)
        yield from _mutated(name, body, mutations)
    for path in sorted(folder.rglob("*")) if folder else []:
        if path.is_file():
            yield f"third-party file {path.name}", path.read_bytes()


def sound_files() -> Iterator[Case]:
    """One small picture of every kind that the service takes."""
    rgb, rgba = _noise("RGB"), _noise("RGBA")
    frames = [rgb.rotate(10 * turn) for turn in range(4)]
    moving = {"save_all": True, "append_images": frames[1:], "duration": 50}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "JPEG", _encode(rgb, "JPEG", quality=95)
    yield "progressive JPEG", _encode(rgb, "JPEG", progressive=True, quality=30)
    yield "CMYK JPEG", _encode(rgb.convert("CMYK"), "JPEG")
    yield "JPEG with a profile", _encode(rgb, "JPEG", icc_profile=profile)
    yield "PNG", _encode(rgba, "PNG", compress_level=1)
    yield "palette PNG", _encode(rgb.quantize(40), "PNG")
    yield "animated PNG", _encode(frames[0], "PNG", **moving)
    yield "GIF", _encode(rgb.convert("P"), "GIF")
    yield "animated GIF", _encode(frames[0], "GIF", **moving)
    yield "WebP", _encode(rgb, "WEBP")
    yield "lossless WebP", _encode(rgba, "WEBP", lossless=True)
    yield "animated WebP", _encode(frames[0], "WEBP", **moving)


def _noise(mode: str) -> Image.Image:
    grain = random.Random(SEED)
    bands = [Image.frombytes("L", (96, 64), grain.randbytes(96 * 64)) for _ in mode]
    smooth = [Image.blend(Image.linear_gradient("L").resize((96, 64)), band, 0.1) for band in bands]
    return Image.merge(mode, smooth)


def _encode(picture: Image.Image, pillow_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        picture.save(file, pillow_format, **options)
    return file.getvalue()


def _foreign() -> Iterator[Case]:
    picture = _noise("RGB")
    yield "an empty file", b""
    yield "one byte", b"\xff"
    yield "text", b"just text"
    yield "a web page", b"<!DOCTYPE html><html>" + PAYLOAD
    yield "an SVG with a script", b"<svg xmlns='http://www.w3.org/2000/svg'>" + PAYLOAD + b"</svg>"
    yield (
        "an SVG that names a file",
        b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
    )
    yield "an MVG command", b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://127.0.0.1/|id)'"
    yield "an EPS program", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n"
    yield "a ZIP file", _zip()
    yield "an AVIF beginning", b"\0\0\0\x20ftypavif" + bytes(100)
    for pillow_format in ("BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "JPEG2000", "PDF", "DDS", "SGI", "IM", "ICNS"):
        yield f"a {pillow_format} file", _encode(picture, pillow_format)
    for magic in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\xff\xff\xff\xffWEBP"):
        yield "nothing but a beginning", magic
        yield "a beginning with a page behind it", magic + PAYLOAD
        yield "a beginning with noise behind it", magic + random.Random(SEED).randbytes(5_000)


def _bombs() -> Iterator[Case]:
    jpeg, png, gif, webp = (dict(sound_files())[kind] for kind in ("JPEG", "PNG", "GIF", "WebP"))
    start = jpeg.index(b"\xff\xc0") + 5
    yield "a JPEG that claims 60,000 by 60,000", jpeg[:start] + b"\xea\x60\xea\x60" + jpeg[start + 4 :]
    yield "a PNG that claims 60,000 by 60,000", _png(60_000, 60_000, b"")
    yield "a PNG that claims no columns", _png(0, 60_000, b"")
    yield "a PNG of two thousand million rows", _png(1, 2**31 - 1, b"")
    yield "a GIF that claims 60,000 by 60,000", gif[:6] + b"\x60\xea\x60\xea" + gif[10:]
    yield "a WebP that claims 16,000 by 16,000", webp[:26] + struct.pack("<HH", 16_000, 16_000) + webp[30:]
    yield "49 megapixels of nothing", _png(7_000, 7_000, zlib.compress(bytes(7_000 * 21_001), 9))
    yield "much more pixels than it claims", _png(8, 8, zlib.compress(bytes(200_000_000), 9))
    progressive = dict(sound_files())["progressive JPEG"]
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    yield "a JPEG of twenty thousand scans", progressive[:-2] + scan * 20_000 + progressive[-2:]
    animation = dict(sound_files())["animated GIF"]
    frame = animation[animation.rindex(b"!\xf9") : -1]
    yield "a GIF of thousands of frames", animation[:-1] + frame * 2_000 + b";"
    yield "a PNG that claims a million frames", png[:33] + _chunk(b"acTL", struct.pack(">II", 1_000_000, 0)) + png[33:]
    swollen = b"name\0\0" + zlib.compress(bytes(100_000_000), 9)
    for name in (b"zTXt", b"iCCP"):
        yield f"a PNG with a bomb in its {name.decode()}", png[:33] + _chunk(name, swollen) + png[33:]
    yield "a PNG with a chunk of four gigabytes", png[:33] + struct.pack(">I", 2**32 - 1) + png[37:]
    yield "a PNG of a million chunks", png[:33] + _chunk(b"teSt", b"") * 500_000 + png[33:]
    yield "EXIF that goes round in a circle", _encode(_noise("RGB"), "JPEG", exif=_circular_exif())


def _truncated(name: str, body: bytes) -> Iterator[Case]:
    for part in TRUNCATIONS:
        yield f"{name}, {part:.0%} of it", body[: int(len(body) * part)]


def _planted(name: str, body: bytes) -> Iterator[Case]:
    yield f"{name} with a page behind it", body + PAYLOAD
    yield f"{name} with a ZIP file behind it", body + _zip()
    yield f"{name} behind a page", PAYLOAD + body
    if body.startswith(b"\xff\xd8"):
        for code in (0xFE, 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xEF):
            yield f"{name} with a payload in segment {code:02x}", body[:2] + _segment(code, PAYLOAD) + body[2:]
        xmp = _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PAYLOAD)
        exif = Image.Exif()
        exif[ExifTags.Base.ImageDescription] = PAYLOAD.decode()
        yield f"{name} with a payload in XMP", body[:2] + xmp + body[2:]
        yield f"{name} with a payload in EXIF", body[:2] + _segment(0xE1, b"Exif\0\0" + exif.tobytes()[6:]) + body[2:]
    elif body.startswith(b"\x89PNG"):
        for chunk in (b"tEXt", b"iTXt", b"eXIf", b"sPLT", b"tIME", b"pHYs", b"teSt", b"iCCP", b"gAMA", b"bKGD"):
            planted = _chunk(chunk, b"name\0" + PAYLOAD)
            yield f"{name} with a payload in {chunk.decode()}", body[:33] + planted + body[33:]
            yield f"{name} with a payload in a late {chunk.decode()}", body[:-12] + planted + body[-12:]
    elif body.startswith(b"GIF"):
        for label in (b"\xfe", b"\xff", b"\x01", b"\xce"):
            extension = b"!" + label + bytes((len(PAYLOAD),)) + PAYLOAD + b"\0"
            yield f"{name} with a payload in extension {label.hex()}", body[:-1] + extension + b";"
    else:
        for chunk in (b"EXIF", b"XMP ", b"ICCP", b"JUNK"):
            padded = PAYLOAD + bytes(len(PAYLOAD) % 2)
            longer = body[12:] + chunk + struct.pack("<I", len(PAYLOAD)) + padded
            yield (
                f"{name} with a payload in {chunk.decode()}",
                b"RIFF" + struct.pack("<I", len(longer) + 4) + b"WEBP" + longer,
            )


def _mutated(name: str, body: bytes, mutations: int) -> Iterator[Case]:
    chosen = random.Random(f"{SEED} {name}")
    for number in range(mutations):
        damaged = bytearray(body)
        for _ in range(chosen.randint(1, 12)):
            # Half of the damage goes to the first bytes, where the structure is.
            end = len(body) if chosen.random() < 0.5 else min(len(body), 200)
            damaged[chosen.randrange(end)] = chosen.randrange(256)
        yield f"{name}, damage {number}", bytes(damaged)


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("payload.html", PAYLOAD)
    return file.getvalue()


def _png(width: int, height: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", pixels or zlib.compress(b"")), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def _circular_exif() -> bytes:
    """A directory of one entry, the EXIF directory, which lies where it does itself."""
    return b"Exif\0\0MM\0*" + struct.pack(">IHHHIII", 8, 1, 0x8769, 4, 1, 8, 8)

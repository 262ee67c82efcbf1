"""A coded picture that is kept gets a new file: the same picture, and nothing of what lay beside it."""

import io
import random
import struct
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from imagejobs import errors
from imagejobs.image import compress
from imagejobs.image_colour import is_srgb
from imagejobs.image_header import check_limits, read_header
from imagejobs.image_reader import MAX_PROFILE_BYTES, open_picture, read_orientation, usable_profile
from imagejobs.image_rebuild import NotRebuildable, has_slack, rebuild
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import (
    animate,
    as_seen,
    decode,
    encode,
    encode_oriented,
    files_under,
    moving_frames,
    noise,
    png_file,
    quadrants,
    rgb_profile,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WIDE = rgb_profile(((0.610, 0.311, 0.019), (0.205, 0.626, 0.061), (0.149, 0.063, 0.745)), gamma=2.2)
MARK = b"<script>payload()</script>"
XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + MARK


def zip_file() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("payload.html", MARK)
    return file.getvalue()


JPEGS = {
    "baseline JPEG": encode(noise((90, 70)), "JPEG"),
    "progressive JPEG": encode(noise((90, 70)), "JPEG", progressive=True, quality=60),
    "JPEG with restarts": encode(noise((90, 70)), "JPEG", restart_marker_rows=1),
    "grey JPEG": encode(noise((90, 70), "L"), "JPEG"),
    "RGB JPEG": encode(noise((90, 70)), "JPEG", keep_rgb=True),
    "CMYK JPEG": encode(noise((90, 70), "CMYK"), "JPEG"),
    "JPEG with a profile": encode(noise((90, 70)), "JPEG", icc_profile=WIDE),
}
PNGS = {
    "RGB PNG": encode(noise((90, 70)), "PNG", compress_level=1),
    "palette PNG": encode(noise((90, 70)).quantize(40), "PNG", transparency=3),
    "grey PNG": encode(noise((90, 70), "LA"), "PNG"),
    "deep PNG": encode(Image.frombytes("I;16", (90, 70), random.Random(1).randbytes(12_600)), "PNG"),
    "PNG with a profile": encode(noise((90, 70), "RGBA"), "PNG", icc_profile=WIDE),
    "PNG of many chunks": encode(noise((400, 400)), "PNG"),
    "animated PNG": animate(moving_frames("RGBA"), "PNG", duration=[100, 250, 40, 90, 1000], loop=3),
    "animated PNG with a stand-in": animate(moving_frames(), "PNG", default_image=True, duration=40),
}
GIFS = {
    "GIF": encode(noise((90, 70), "L"), "GIF"),
    "animated GIF": animate(moving_frames("RGB"), "GIF", duration=[100, 250, 40, 90, 1000], loop=3),
    "transparent GIF": animate(moving_frames("RGBA"), "GIF", duration=50, disposal=2),
}
WEBPS = {
    "WebP": encode(noise((90, 70)), "WEBP"),
    "WebP with alpha": encode(noise((90, 70), "RGBA"), "WEBP"),
    "lossless WebP": encode(noise((90, 70), "RGBA"), "WEBP", lossless=True),
    "WebP with a profile": encode(noise((90, 70)), "WEBP", icc_profile=WIDE),
    "animated WebP": animate(moving_frames("RGBA"), "WEBP", duration=[100, 250, 40, 90, 1000], loop=3),
    "animated lossless WebP": animate(moving_frames(), "WEBP", duration=50, lossless=True),
}
KINDS = JPEGS | PNGS | GIFS | WEBPS

Injection = Callable[[bytes, bytes], bytes]


def segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def behind_start(code: int, prefix: bytes = b"") -> Injection:
    return lambda body, junk: body[:2] + segment(code, prefix + junk) + body[2:]


def before_last_scan(body: bytes, junk: bytes) -> bytes:
    scan = body.rindex(b"\xff\xda")
    return body[:scan] + segment(0xFE, junk) + b"\xff\xff" + segment(0xED, junk) + body[scan:]


def many_applications(body: bytes, junk: bytes) -> bytes:
    return body[:2] + b"".join(segment(0xE0 + code, junk * 300) for code in range(16)) + body[2:]


def exif_thumbnail(body: bytes, junk: bytes) -> bytes:
    return behind_start(0xE1, b"Exif\0\0")(body, encode(quadrants(), "JPEG", comment=junk))


def idle_table(body: bytes, junk: bytes) -> bytes:
    return body[:2] + segment(0xDB, b"\3" + junk.ljust(64, b"\1")[:64]) + body[2:]


def jfif_thumbnail(body: bytes, junk: bytes) -> bytes:
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(body)) as picture:
        has_jfif = "jfif" in picture.info  # where it was missing, it would change how colours are read
    return behind_start(0xE0, b"JFIF\0\1\1\0\0\1\0\1\x20\x20")(body, junk) if has_jfif else body


def chunk(name: bytes, data: bytes) -> bytes:
    return png_file((name, data))[8:]


def behind_header(name: bytes, prefix: bytes = b"") -> Injection:
    return lambda body, junk: body[:33] + chunk(name, prefix + junk) + body[33:]


def before_end(name: bytes) -> Injection:
    return lambda body, junk: body[:-12] + chunk(name, junk) + body[-12:]


def behind_deflated(body: bytes, junk: bytes) -> bytes:
    """Behind the end of the zlib stream, within the last chunk of pixels."""
    at = max(body.rfind(b"IDAT"), body.rfind(b"fdAT"))
    length = int.from_bytes(body[at - 4 : at], "big")
    data = body[at + 4 : at + 4 + length] + junk
    return body[: at - 4] + chunk(body[at : at + 4], data) + body[at + 8 + length :]


def wrapped_profile(body: bytes, junk: bytes) -> bytes:
    if b"iCCP" in body:
        return body
    return body[:33] + chunk(b"iCCP", junk + b"\0\0" + zlib.compress(WIDE) + junk) + body[33:]


def extension(head: bytes) -> Injection:
    """Before the first frame's control, or its picture where it has none."""

    def inject(body: bytes, junk: bytes) -> bytes:
        at = 13 + (3 << (body[10] & 7) + 1 if body[10] & 0x80 else 0)
        blocks = b"".join(bytes((len(part),)) + part for part in (junk[:255], junk[255:510]) if part)
        return body[:at] + head + blocks + b"\0" + body[at:]

    return inject


def behind_codes(body: bytes, junk: bytes) -> bytes:
    """As a further sub-block of the last frame, behind the end of its LZW codes."""
    return body[:-2] + bytes((len(junk[:255]),)) + junk[:255] + body[-2:]


def riff(chunks: list[tuple[bytes, bytes]]) -> bytes:
    data = b"".join(struct.pack("<4sI", name, len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data


def riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        name, length = struct.unpack_from("<4sI", data)
        yield name, data[8 : 8 + length]
        data = data[8 + length + length % 2 :]


def further_chunk(name: bytes) -> Injection:
    return lambda body, junk: riff([*riff_chunks(body[12:]), (name, junk)])


def chunk_in_frames(body: bytes, junk: bytes) -> bytes:
    extra = struct.pack("<4sI", b"JUNK", len(junk)) + junk + bytes(len(junk) % 2)
    return riff([(name, data + extra if name == b"ANMF" else data) for name, data in riff_chunks(body[12:])])


def at_end(body: bytes, junk: bytes) -> bytes:
    return body + junk


INJECTIONS: dict[str, tuple[dict[str, bytes], Injection]] = {
    "JPEG comment": (JPEGS, behind_start(0xFE)),
    "JPEG EXIF": (JPEGS, behind_start(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0")),
    "JPEG EXIF thumbnail": (JPEGS, exif_thumbnail),
    "JPEG XMP": (JPEGS, behind_start(0xE1, XMP)),
    "JPEG second picture": (JPEGS, behind_start(0xE2, b"MPF\0")),
    "JPEG false profile": (JPEGS, behind_start(0xE2, b"ICC_PROFILE\0\1\2")),
    "JPEG Photoshop": (JPEGS, behind_start(0xED, b"Photoshop 3.0\0")),
    "JPEG JFIF thumbnail": (JPEGS, jfif_thumbnail),
    "JPEG applications": (JPEGS, many_applications),
    "JPEG between scans": (JPEGS, before_last_scan),
    "JPEG idle table": (JPEGS, idle_table),
    "JPEG end": (JPEGS, at_end),
    "PNG text": (PNGS, behind_header(b"tEXt", b"Comment\0")),
    "PNG international text": (PNGS, behind_header(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0")),
    "PNG EXIF": (PNGS, behind_header(b"eXIf", b"MM\0*\0\0\0\x08\0\0")),
    "PNG private": (PNGS, behind_header(b"prVt")),
    "PNG overlong gamma": (PNGS, behind_header(b"gAMA", struct.pack(">I", 45_455))),
    "PNG profile": (PNGS, wrapped_profile),
    "PNG text behind pixels": (PNGS, before_end(b"tEXt")),
    "PNG behind the deflated pixels": (PNGS, behind_deflated),
    "PNG end": (PNGS, at_end),
    "GIF comment": (GIFS, extension(b"!\xfe")),
    "GIF XMP": (GIFS, extension(b"!\xff\x0bXMP DataXMP")),
    "GIF plain text": (GIFS, extension(b"!\1\x0c" + bytes(12))),
    "GIF behind the codes": (GIFS, behind_codes),
    "GIF end": (GIFS, at_end),
    "WebP EXIF": (WEBPS, further_chunk(b"EXIF")),
    "WebP XMP": (WEBPS, further_chunk(b"XMP ")),
    "WebP unknown": (WEBPS, further_chunk(b"JUNK")),
    "WebP in frames": (WEBPS, chunk_in_frames),
    "WebP end": (WEBPS, at_end),
}


def shown(body: bytes) -> object:
    """All that a viewer would tell apart."""
    with warnings.catch_warnings(action="ignore"), open_picture(body, read_header(body)) as picture:
        frames = []
        for index in range(getattr(picture, "n_frames", 1)):
            picture.seek(index)
            picture.load()
            frames.append((picture.mode, picture.size, picture.info.get("duration"), picture.convert("RGBA").tobytes()))
        profile = usable_profile(picture.info.get("icc_profile"))
        # A profile of sRGB counts as none at all.
        colours = () if profile and is_srgb(profile) else ("icc_profile", "gamma", "srgb", "chromaticity")
        kept = {name: picture.info[name] for name in ("loop", *colours) if picture.info.get(name) is not None}
        return frames, kept, read_orientation(picture)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_file_keeps_its_picture_and_never_grows(kind):
    rebuilt = rebuild(KINDS[kind], 1)
    assert shown(rebuilt) == shown(KINDS[kind])
    assert len(rebuilt) <= len(KINDS[kind])
    assert not has_slack(rebuilt)
    assert rebuild(rebuilt, 1) == rebuilt


@pytest.mark.parametrize("place", INJECTIONS)
def test_what_lies_beside_the_picture_is_gone(place):
    kinds, inject = INJECTIONS[place]
    for kind, plain in kinds.items():
        for junk in (MARK, zip_file()):
            body = inject(plain, junk)
            rebuilt = rebuild(body, 1)
            assert junk not in rebuilt, kind
            assert len(rebuilt) <= len(body), kind
            # Pillow reads an overlong gamma, which other decoders do not.
            assert shown(rebuilt) == shown(plain if place == "PNG overlong gamma" else body), kind


@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)), junk=st.binary(min_size=16, max_size=200))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_junk_in_many_places_at_once_is_gone(data, kind, junk):
    # A false profile takes the true one along, and behind a GIF's codes up to two bytes may stay.
    elsewhere = ("JPEG false profile", "PNG profile", "GIF behind the codes")
    fitting = [place for place, (kinds, _) in INJECTIONS.items() if kind in kinds and place not in elsewhere]
    # Places at an end come last: what is behind them would not be found again.
    places = sorted(data.draw(st.sets(st.sampled_from(fitting), min_size=1)), key=lambda place: place.endswith(" end"))
    body = KINDS[kind]
    for place in places:
        body = INJECTIONS[place][1](body, junk)
    rebuilt = rebuild(body, 1)
    assert rebuilt == rebuild(KINDS[kind], 1)


def behind_last_pixel(body: bytes, junk: bytes) -> bytes:
    return body[:-2] + junk + body[-2:]


def behind_first_run(body: bytes, junk: bytes) -> bytes:
    at = body.index(b"\xff\xd0")
    return body[:at] + junk + body[at:]


def behind_first_scan(body: bytes, junk: bytes) -> bytes:
    at = body.index(b"\xff\xc4", body.index(b"\xff\xda"))
    return body[:at] + junk + body[at:]


def extended(name: bytes) -> Injection:
    def inject(body: bytes, junk: bytes) -> bytes:
        return riff([(found, data + junk if found == name else data) for found, data in riff_chunks(body[12:])])

    return inject


def in_first_partition(body: bytes, junk: bytes) -> bytes:
    def longer(data: bytes) -> bytes:
        tag = int.from_bytes(data[:3], "little")
        end = 10 + (tag >> 5)
        return (tag + (len(junk) << 5)).to_bytes(3, "little") + data[3:end] + junk + data[end:]

    return riff([(name, longer(data) if name == b"VP8 " else data) for name, data in riff_chunks(body[12:])])


def in_frames(body: bytes, junk: bytes) -> bytes:
    chunks = []
    for name, data in riff_chunks(body[12:]):
        inner = riff([(found, coded + junk) for found, coded in riff_chunks(data[16:])])[12:]
        chunks.append((name, data[:16] + inner if name == b"ANMF" else data))
    return riff(chunks)


SLACK = {
    "baseline JPEG": behind_last_pixel,
    "progressive JPEG": behind_last_pixel,
    "JPEG with restarts": behind_first_run,
    "CMYK JPEG": behind_last_pixel,
    "WebP": extended(b"VP8 "),
    "WebP with alpha": extended(b"ALPH"),
    "lossless WebP": extended(b"VP8L"),
    "WebP with a profile": in_first_partition,
    "animated WebP": in_frames,
    "animated lossless WebP": in_frames,
}


@pytest.mark.parametrize("kind", SLACK)
@pytest.mark.parametrize("junk", [MARK * 2, zip_file().replace(b"\xff", b"\0")], ids=["script", "zip"])
def test_what_hides_among_the_coded_pixels_is_found(kind, junk):
    body = SLACK[kind](KINDS[kind], junk)
    assert shown(body) == shown(KINDS[kind])
    assert has_slack(rebuild(body, 1))


@pytest.mark.parametrize("kind", ["WebP", "WebP with alpha", "lossless WebP", "animated WebP"])
def test_no_slack_is_only_said_of_a_webp_that_was_decoded_whole(kind, monkeypatch):
    def exhausted(_):
        raise EOFError

    monkeypatch.setattr("imagejobs.image_rebuild_webp.WebPImageFile._get_next", exhausted)
    assert has_slack(KINDS[kind])


def test_what_hides_behind_an_early_scan_is_found():
    body = behind_first_scan(KINDS["progressive JPEG"], MARK * 2)
    assert shown(body) == shown(KINDS["progressive JPEG"])
    assert has_slack(rebuild(body, 1))


@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    mode=st.sampled_from(["L", "RGB", "CMYK"]),
    saving=st.fixed_dictionaries(
        {"quality": st.sampled_from([1, 20, 75, 95, 100]), "progressive": st.booleans(), "optimize": st.booleans()},
        optional={"restart_marker_blocks": st.integers(1, 9), "subsampling": st.sampled_from([0, 1, 2])},
    ),
    flat=st.booleans(),
    junk_bytes=st.integers(40, 300),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_in_a_jpeg_slack_is_found_where_it_is_and_nowhere_else(size, mode, saving, flat, junk_bytes):
    picture = Image.new(mode, size, "red" if mode == "RGB" else 3) if flat else noise(size, mode)
    body = encode(picture, "JPEG", **saving)
    assert shown(rebuild(body, 1)) == shown(body)
    assert not has_slack(rebuild(body, 1))
    assert has_slack(rebuild(behind_last_pixel(body, random.Random(1).randbytes(junk_bytes).hex().encode()), 1))


def test_fill_bytes_of_a_jpeg_are_dropped():
    plain = KINDS["baseline JPEG"]
    scan = plain.index(b"\xff\xda")
    assert b"\xff\0" in plain[scan:]
    body = plain[:scan] + plain[scan:].replace(b"\xff\0", b"\xff\xff\xff\0").replace(b"\xff\xd9", b"\xff\xff\xff\xd9")
    assert rebuild(body, 1) == rebuild(plain, 1)


def with_component_ids(body: bytes, ids: bytes) -> bytes:
    changed = bytearray(body)
    frame, scan = body.index(b"\xff\xc0"), body.index(b"\xff\xda")
    changed[frame + 10 : frame + 19 : 3] = ids
    changed[scan + 5 : scan + 11 : 2] = ids
    return bytes(changed)


@pytest.mark.parametrize(("kind", "ids"), [("baseline JPEG", b"RGB"), ("RGB JPEG", b"\1\2\3")])
def test_what_tells_the_colours_of_a_jpeg_against_its_component_ids_stays(kind, ids):
    body = with_component_ids(KINDS[kind], ids)
    plain = body.replace(b"JFIF", b"jfif").replace(b"Adobe", b"adobe")
    if kind == "RGB JPEG":
        body = body[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\0") + body[2:]
    assert shown(rebuild(body, 1)) == shown(body)
    assert shown(body) != shown(plain)


def test_colours_that_a_png_tells_too_late_do_not_count():
    body = before_end(b"gAMA")(KINDS["RGB PNG"], struct.pack(">I", 45_455))
    assert rebuild(body, 1) == rebuild(KINDS["RGB PNG"], 1)


def test_a_gif_keeps_its_end_code():
    assert rebuild(KINDS["GIF"], 1) == KINDS["GIF"]


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_all_that_stays_of_exif(pillow_format, orientation):
    body = encode_oriented(noise((90, 70)), orientation, pillow_format)
    rebuilt = rebuild(body, orientation)
    assert as_seen(rebuilt).tobytes() == as_seen(body).tobytes()
    assert dict(decode(rebuilt).getexif()) == {ExifTags.Base.Orientation: orientation}
    assert len(rebuilt) <= len(body)


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
def test_a_large_profile_stays_whole_and_loses_what_follows_its_length(pillow_format):
    large = bytearray(WIDE + random.Random(2).randbytes(150_000))
    large[:4] = len(large).to_bytes(4, "big")
    body = encode(noise((90, 70)), pillow_format, icc_profile=bytes(large) + MARK)
    rebuilt = rebuild(body, 1)
    assert decode(rebuilt).info["icc_profile"] == large


@pytest.mark.parametrize(
    ("pillow_format", "saving"),
    [
        ("JPEG", {"quality": 10}),
        ("JPEG", {"quality": 98}),
        ("WEBP", {"quality": 10}),
        ("WEBP", {"quality": 98}),
        ("PNG", {"compress_level": 0}),
        ("PNG", {"compress_level": 9}),
    ],
)
@pytest.mark.parametrize("count", [1, 5])
def test_what_is_no_profile_is_dropped(pillow_format, saving, count):
    frames = [noise((90, 70), seed=seed) for seed in range(count)]
    huge = (MAX_PROFILE_BYTES + 1).to_bytes(4, "big") + SRGB[4:] + bytes(MAX_PROFILE_BYTES)
    profiles = [MARK * 20, b"\0\0\1\0" + MARK * 20, huge]
    for profile in profiles[: 2 if pillow_format == "PNG" else 3]:  # of a PNG, Pillow itself refuses the third
        moving = {"save_all": True, "append_images": frames[1:], "duration": 50} if count > 1 else {}
        moving = {} if pillow_format == "JPEG" else moving
        body = encode(frames[0], pillow_format, icc_profile=profile, **saving, **moving)
        result = compress(body, CompressionOptions())
        assert not decode(result.body).info.get("icc_profile")
        assert len(result.body) < len(body)


def test_an_interlaced_png_is_kept():
    passes = b"".join(b"\0" + row for row in (b"\1", b"\2", b"\3\4", b"\5", b"\6", b"\7\x08\x09"))
    header = struct.pack(">IIBBBBB", 3, 3, 8, 0, 0, 0, 1)
    body = png_file((b"IHDR", header), (b"IDAT", zlib.compress(passes)), (b"IEND", b""))
    assert decode(rebuild(body, 1)).tobytes() == bytes((1, 5, 2, 7, 8, 9, 3, 6, 4))


def test_rows_that_nobody_sees_are_not_kept():
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    rows = bytes(5 * 4) + MARK
    body = png_file((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    assert decode(body).size == (4, 4)
    with pytest.raises(NotRebuildable, match="pixels"):
        rebuild(body, 1)


def test_a_palette_that_is_only_a_hint_is_dropped():
    body = behind_header(b"PLTE")(KINDS["RGB PNG"], MARK + b"!")
    assert MARK not in rebuild(body, 1)


def test_frames_beyond_the_announced_ones_are_dropped():
    body = bytearray(animate(moving_frames(), "PNG", duration=40))
    at = body.index(b"acTL")
    body[at - 4 : at + 16] = chunk(b"acTL", struct.pack(">II", 2, 0))
    rebuilt = rebuild(bytes(body), 1)
    assert shown(rebuilt) == shown(bytes(body))
    assert len(rebuilt) < len(body)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("baseline JPEG", b"\xff\xc0", b"\xff\xc3"),  # lossless
        ("baseline JPEG", b"\xff\xc0", b"\xff\xc9"),  # arithmetic
        ("baseline JPEG", b"\xff\xd9", b"\xff\xd0"),
        ("JPEG with restarts", b"\xff\xd1", b"\xff\xd5"),
        ("RGB PNG", b"IEND\xae", b"IENX\xae"),
        ("animated PNG", b"\0\0\0\x08acTL\0\0\0\5", b"\0\0\0\x08acTL\0\0\0\6"),
        ("GIF", b"\0,\0\0", b"\0\0\0\0"),
        ("WebP", b"VP8 ", b"VP9 "),
    ],
)
def test_what_is_damaged_is_not_rebuilt(kind, old, new):
    assert old in KINDS[kind]
    with pytest.raises(NotRebuildable):
        rebuild(KINDS[kind].replace(old, new), 1)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32 - 1), damage=st.integers(1, 8))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_damage_raises_nothing_else(kind, seed, damage):
    chosen = random.Random(seed)
    body = bytearray(KINDS[kind])
    for _ in range(damage):
        end = len(body) if chosen.random() < 0.5 else min(len(body), 200)
        body[chosen.randrange(end)] = chosen.randrange(256)
    try:
        check_limits(read_header(bytes(body)))
        rebuilt = rebuild(
            bytes(body[: chosen.choice([len(body), chosen.randrange(len(body))])]), chosen.randrange(1, 9)
        )
    except (NotRebuildable, errors.ImageError):
        return
    assert len(rebuilt) <= len(body)


# Through the whole of `compress`.

WELL_COMPRESSED = {
    "JPEG": encode(noise((300, 200)), "JPEG", quality=20, progressive=True, optimize=True),
    "PNG": compress(encode(noise((300, 200)), "PNG"), CompressionOptions()).body,
    "GIF": encode(noise((300, 200), "L"), "GIF"),
    "WEBP": encode(noise((300, 200)), "WEBP", quality=10, method=6),
}


def well_commented(body: bytes) -> dict[str, bytes]:
    """The same picture with a comment, EXIF or XMP, and with a ZIP file behind it."""
    inject = {
        "JPEG": [behind_start(0xFE), behind_start(0xE1, b"Exif\0\0"), behind_start(0xE1, XMP)],
        "PNG": [behind_header(b"tEXt", b"Comment\0"), before_end(b"tEXt")],
        "GIF": [extension(b"!\xfe"), extension(b"!\xff\x0bXMP DataXMP")],
        "WEBP": [further_chunk(b"EXIF"), further_chunk(b"XMP ")],
    }[decode(body).format]
    for place in inject:
        body = place(body, MARK)
    return at_end(body, zip_file())


@pytest.mark.parametrize("pillow_format", WELL_COMPRESSED)
def test_a_picture_that_is_kept_comes_without_what_lay_beside_it(pillow_format):
    plain = WELL_COMPRESSED[pillow_format]
    result = compress(well_commented(plain), CompressionOptions())
    assert result.outcome == "unchanged"
    assert shown(result.body) == shown(plain)
    assert MARK not in result.body
    assert not zipfile.is_zipfile(io.BytesIO(result.body))


@pytest.mark.parametrize(
    ("kind", "saving"),
    [
        ("JPEG", {"quality": 98}),
        ("PNG", {"compress_level": 0}),
        ("WEBP", {"quality": 100}),
        ("WEBP", {"lossless": True, "quality": 0, "method": 0}),
    ],
)
@pytest.mark.parametrize("count", [1, 5])
def test_a_picture_that_is_coded_anew_comes_without_what_lay_beside_it(kind, saving, count):
    frames = moving_frames(count=count) if count > 1 else [noise((300, 200))]
    moving = {"duration": 80} if count > 1 else {}
    plain = animate(frames, kind, **saving, **moving) if kind != "JPEG" else encode(frames[0], kind, **saving)
    assert_coded_anew_without_the_rest(plain)


@pytest.mark.parametrize("count", [1, 5])
def test_a_gif_that_is_coded_anew_comes_without_what_lay_beside_it(count):
    frames = [noise((60, 40), "L", seed).point(lambda value: value & 0xF0) for seed in range(count)]
    plain = animate(frames, "GIF", optimize=False, **({"duration": 80} if count > 1 else {}))
    assert_coded_anew_without_the_rest(plain)


def assert_coded_anew_without_the_rest(plain: bytes) -> None:
    result = compress(well_commented(plain), CompressionOptions())
    assert result.outcome == "smaller"
    assert MARK not in result.body
    assert not zipfile.is_zipfile(io.BytesIO(result.body))
    for chunk_name in (b"EXIF", b"XMP ", b"eXIf", b"tEXt", b"iTXt", b"Exif\0", b"http://ns.adobe.com", b"XMP Data"):
        assert chunk_name not in result.body


def test_colour_chunks_of_a_png_that_is_coded_anew_hold_no_more_than_they_may():
    body = behind_header(b"gAMA", struct.pack(">I", 45_455))(encode(noise(), "PNG", compress_level=0), MARK)
    result = compress(body, CompressionOptions())
    assert result.outcome == "smaller"
    assert MARK not in result.body


def test_a_picture_with_much_beside_it_is_kept_rather_than_made_worse():
    body = behind_start(0xED)(WELL_COMPRESSED["JPEG"], bytes(60_000))
    result = compress(body, CompressionOptions(quality=90))
    assert result.outcome == "unchanged"
    assert len(result.body) <= len(WELL_COMPRESSED["JPEG"])


@pytest.mark.parametrize(
    ("pillow_format", "inject"), [("JPEG", behind_last_pixel), ("WEBP", extended(b"VP8 "))], ids=["JPEG", "WebP"]
)
def test_what_hides_among_the_pixels_costs_the_picture_its_coding(pillow_format, inject):
    body = inject(WELL_COMPRESSED[pillow_format], MARK * 2)
    result = compress(body, CompressionOptions())
    assert result.outcome == "smaller"
    assert MARK not in result.body
    assert decode(result.body).size == (300, 200)


def test_a_damaged_file_that_cannot_be_made_smaller_is_refused():
    body = png_file((b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0\x07")))
    wrong_checksum = body[:-4] + b"\0\0\0\0" + chunk(b"IEND", b"")
    assert decode(wrong_checksum).getpixel((0, 0)) == 7
    with pytest.raises(errors.ImageUnreadable, match="PNG image is damaged"):
        compress(wrong_checksum, CompressionOptions())


def test_a_tiny_turned_picture_is_kept_with_its_orientation():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    body = encode(Image.new("L", (3, 1)), "PNG", exif=exif)
    result = compress(body, CompressionOptions())
    assert len(result.body) <= len(body)
    assert as_seen(result.body).size == (result.width, result.height) == (1, 3)


def test_text_of_a_png_is_not_written_by_pillow():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", MARK.decode(), zip=True)
    info.add_itxt("XML:com.adobe.xmp", MARK.decode())
    body = encode(noise((300, 200)), "PNG", pnginfo=info, compress_level=0)
    result = compress(body, CompressionOptions())
    assert (result.outcome, getattr(decode(result.body), "text", None)) == ("smaller", {})


def test_real_pictures_are_rebuilt_exactly_and_never_grow():
    for path in files_under("CORPUS_DIR"):
        body = path.read_bytes()
        with open_picture(body, read_header(body)) as picture:
            rebuilt = rebuild(body, read_orientation(picture))
        assert shown(rebuilt) == shown(body), path.name
        assert len(rebuilt) <= len(body), path.name
        assert not has_slack(rebuilt), path.name


def test_third_party_malformed_files_raise_nothing_else_and_take_no_time():
    for path in files_under("MALFORMED_DIR"):
        body = path.read_bytes()
        began = time.monotonic()
        try:
            check_limits(read_header(body))
            rebuilt = rebuild(body, 1)
        except (NotRebuildable, errors.ImageError):
            continue
        finally:
            assert time.monotonic() - began < 2, path.name
        assert len(rebuilt) <= len(body), path.name
        assert rebuild(rebuilt, 1) == rebuilt, path.name

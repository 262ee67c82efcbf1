"""Beside the picture nothing of a file stays, but for the names of author and owner when that is asked for."""

import hashlib
import struct
import time
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin
from PIL.ExifTags import Base

from imagejobs.codec import Codec
from imagejobs.image import compress
from imagejobs.image_metadata import MAX_NAME_BYTES, read_names, tiff
from imagejobs.image_xmp import MAX_PACKET_BYTES, read_creator_and_rights
from imagejobs.options import FORMATS, CompressionOptions
from tests.unit.image_helpers import (
    STORED_BY_ORIENTATION,
    animate,
    decode,
    encode,
    files_under,
    moving_frames,
    noise,
)

NAMES = {Base.Artist: "Zoë Müller", Base.Copyright: "© 2026 Zoë Müller"}
KEEP = CompressionOptions(keep_metadata=True)


def exif_of(entries: dict[int, object], orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    for tag, value in entries.items():
        exif[tag] = value.encode() if isinstance(value, str) else value
    exif[Base.Orientation] = orientation
    exif[Base.Model] = "A camera of mine"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif


def names_in(body: bytes) -> dict[int, str]:
    """All entries of EXIF, as text of UTF-8 where they are text."""
    entries = dict(decode(body).getexif())
    return {
        tag: value.encode("latin-1").decode() if isinstance(value, str) else value for tag, value in entries.items()
    }


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
def test_the_names_of_author_and_owner_stay_when_asked_for_and_nothing_else_does(pillow_format, format_name):
    saving = {"compress_level": 0} if pillow_format == "PNG" else {"quality": 97}
    body = encode(noise((300, 200)), pillow_format, exif=exif_of(NAMES), **saving)
    result = compress(body, CompressionOptions(format=format_name, keep_metadata=True))
    assert result.outcome != "unchanged"
    assert names_in(result.body) == NAMES
    assert b"camera" not in result.body


@pytest.mark.parametrize("format_name", FORMATS)
def test_they_go_when_they_are_not_asked_for(format_name):
    body = encode(noise((300, 200)), "JPEG", quality=97, exif=exif_of(NAMES))
    result = compress(body, CompressionOptions(format=format_name))
    assert names_in(result.body) == {}
    assert "Müller".encode() not in result.body


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
def test_a_coded_picture_that_is_kept_carries_them_too(pillow_format):
    best = {"JPEG": {"quality": 15, "progressive": True, "optimize": True}, "PNG": {"optimize": True}}
    body = encode(noise((300, 200)), pillow_format, exif=exif_of(NAMES), **best.get(pillow_format, {"quality": 15}))
    result = compress(body, KEEP)
    assert result.outcome == "unchanged"
    assert names_in(result.body) == NAMES
    assert decode(result.body).tobytes() == decode(body).tobytes()


def test_a_picture_that_was_turned_says_so_no_more():
    stored = noise((300, 200)).transpose(STORED_BY_ORIENTATION[6])
    result = compress(encode(stored, "JPEG", quality=97, exif=exif_of(NAMES, orientation=6)), KEEP)
    assert (decode(result.body).size, names_in(result.body)) == ((300, 200), NAMES)


@pytest.mark.parametrize("pillow_format", ["PNG", "WEBP"])
def test_an_animation_carries_them(pillow_format):
    slow = {"compress_level": 0} if pillow_format == "PNG" else {"quality": 100, "kmin": 0, "kmax": 1}
    body = animate(moving_frames(), pillow_format, duration=100, exif=exif_of(NAMES), **slow)
    result = compress(body, KEEP)
    assert result.outcome == "smaller"
    assert names_in(result.body) == NAMES


def test_a_name_has_no_control_characters_and_an_end():
    hostile = {Base.Artist: "Ann\x1b[2J\r\n\x07 Bee", Base.Copyright: "ü" * 5_000}
    picture = decode(encode(noise(), "JPEG", exif=exif_of(hostile)))
    (artist, ann), (owner, long) = read_names(picture)
    assert (artist, ann) == (Base.Artist, b"Ann[2J Bee")
    assert (owner, long) == (Base.Copyright, "ü".encode() * (MAX_NAME_BYTES // 2))


@pytest.mark.parametrize("value", [" ", "\x00\x01", ""])
def test_a_name_of_nothing_is_none(value):
    assert read_names(decode(encode(noise(), "JPEG", exif=exif_of({Base.Artist: value})))) == ()


def test_a_name_that_is_no_text_is_none():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x3b\0\x04\0\0\0\x01\0\0\0\x07\0\0\0\0"  # Artist as a number
    assert read_names(decode(encode(noise(), "JPEG", exif=exif))) == ()


def test_nothing_to_say_takes_no_bytes():
    assert tiff(1, ()) == b""


# XMP and IPTC, in which agencies send their photographs.


def xmp(inner: str, prolog: str = "") -> bytes:
    """A packet as Adobe's tools write it (ISO 16684-1, 7), padded so that it can be changed in place."""
    return (
        f'{prolog}<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/">'
        f"{inner}</rdf:Description></rdf:RDF></x:xmpmeta>\n{' ' * 200}<?xpacket end='w'?>"
    ).encode()


def creators(*texts: str) -> str:
    return "<dc:creator><rdf:Seq>" + "".join(f"<rdf:li>{text}</rdf:li>" for text in texts) + "</rdf:Seq></dc:creator>"


def rights(**by_language: str) -> str:
    items = (f'<rdf:li xml:lang="{lang.replace("_", "-")}">{text}</rdf:li>' for lang, text in by_language.items())
    return f"<dc:rights>\n <rdf:Alt>{''.join(items)}</rdf:Alt>\n</dc:rights>"


def dataset(record: int, number: int, value: bytes) -> bytes:
    """IPTC-NAA Information Interchange Model 4.2, 1.6: the standard form."""
    return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value


def photoshop(*resources: tuple[int, bytes]) -> bytes:
    """A segment of image resource blocks (Adobe Photoshop File Formats), each padded to even length."""
    blocks = (
        struct.pack(">4sH2xI", b"8BIM", code, len(data)) + data + bytes(len(data) % 2) for code, data in resources
    )
    content = b"Photoshop 3.0\0" + b"".join(blocks)
    return struct.pack(">BBH", 0xFF, 0xED, len(content) + 2) + content


def iptc(*datasets: bytes, digest: bytes | None = None) -> bytes:
    data = b"".join((dataset(1, 90, b"\x1b%G"), dataset(2, 0, b"\0\4"), *datasets))
    told = {b"": hashlib.md5(data).digest()}.get(digest, digest)
    return photoshop((0x0404, data), *([(0x0425, told)] if told else []))


OF_XMP = xmp(creators("Zoë of XMP", "Max") + rights(en="rights of XMP", x_default="© XMP"))
OF_IPTC = (dataset(2, 80, "Zoë of IPTC".encode()), dataset(2, 116, "© IPTC".encode()))
XMP_NAMES = ("Zoë of XMP; Max", "© XMP")
IPTC_NAMES = ("Zoë of IPTC", "© IPTC")
NONE = ("", "")


def with_xmp(pillow_format: str, packet: bytes, picture: Image.Image | None = None, **saving: object) -> bytes:
    if pillow_format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
        return encode(picture or noise(), "PNG", pnginfo=info, **saving)
    return encode(picture or noise(), pillow_format, xmp=packet, **saving)


def names_of(body: bytes) -> tuple[str, str]:
    names = dict(read_names(decode(body)))
    return tuple(names.get(tag, b"").decode() for tag in (Base.Artist, Base.Copyright))


def as_exif(names: tuple[str, str]) -> dict[int, str]:
    return dict(zip((Base.Artist, Base.Copyright), names, strict=True))


def jpeg(*, exif: dict[int, object] | None = None, packet: bytes = b"", resources: bytes = b"") -> bytes:
    body = encode(noise(), "JPEG", exif=exif_of(exif or {}), **({"xmp": packet} if packet else {}))
    return body[:2] + resources + body[2:]


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
def test_names_of_xmp_come_out_as_exif(pillow_format, format_name):
    saving = {"compress_level": 0} if pillow_format == "PNG" else {"quality": 97}
    body = with_xmp(pillow_format, OF_XMP, noise((300, 200)), **saving)
    result = compress(body, CompressionOptions(format=format_name, keep_metadata=True))
    assert names_in(result.body) == as_exif(XMP_NAMES)
    assert b"adobe" not in result.body
    assert names_in(compress(body, CompressionOptions(format=format_name)).body) == {}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (jpeg(exif=NAMES, packet=OF_XMP, resources=iptc(*OF_IPTC)), tuple(NAMES.values())),
        (jpeg(packet=OF_XMP, resources=iptc(*OF_IPTC)), XMP_NAMES),
        (jpeg(packet=OF_XMP, resources=iptc(*OF_IPTC, digest=b"")), XMP_NAMES),
        (jpeg(packet=OF_XMP, resources=iptc(*OF_IPTC, digest=b"of what it once was")), IPTC_NAMES),
        (jpeg(resources=iptc(*OF_IPTC)), IPTC_NAMES),
        (jpeg(exif={Base.Artist: "Ann"}, packet=OF_XMP), ("Ann", "© XMP")),
        (jpeg(packet=xmp(creators("Ann")), resources=iptc(*OF_IPTC)), ("Ann", "© IPTC")),
        (jpeg(exif={Base.Artist: " \0"}, packet=xmp(creators(" ")), resources=iptc(*OF_IPTC)), IPTC_NAMES),
    ],
    ids=["EXIF", "XMP", "XMP in step", "IPTC changed since", "IPTC", "EXIF and XMP", "XMP and IPTC", "blanks"],
)
def test_each_name_is_that_of_the_first_who_has_it(body, names):
    assert names_of(body) == names


def test_the_codec_s_process_reads_them_though_it_can_open_no_file():
    changed = jpeg(packet=OF_XMP, resources=iptc(*OF_IPTC, digest=b"of what it once was"))
    with closing(Codec()) as codec:
        for body, names in ((jpeg(packet=OF_XMP), XMP_NAMES), (changed, IPTC_NAMES)):
            result = codec.compress(body, KEEP, time.monotonic() + 60)
            assert names_in(result.body) == as_exif(names)


@pytest.mark.parametrize(
    ("inner", "found"),
    [
        (creators("A", "B"), (["A", "B"], "")),
        (creators("A").replace("Seq", "Bag"), (["A"], "")),
        ("<dc:creator>A</dc:creator><dc:rights>© B</dc:rights>", (["A"], "© B")),
        (rights(de="eins", en="one"), ([], "eins")),
        (rights(de="eins", x_default="one"), ([], "one")),
        (creators("A &amp; B &#169; &lt;C&gt;"), (["A & B © <C>"], "")),
        (creators("<![CDATA[A & B]]>"), (["A & B"], "")),
        (f"<xmpMM:History><rdf:Description>{creators('A')}</rdf:Description></xmpMM:History>", ([], "")),
        (creators("A").replace("dc:", "xmpMM:"), ([], "")),
    ],
)
def test_xmp_is_read_where_the_standard_puts_it(inner, found):
    assert read_creator_and_rights(xmp(inner)) == found


LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(f"<!ENTITY a{n} '&a{n - 1};'>" for n in range(1, 9)) + "]>"
ABROAD = "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/hostname'>]>"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xff\xfe\0",
        OF_XMP[:-90].rstrip()[:-20],
        OF_XMP.replace(b"creator", b"creat\xff", 1),
        OF_XMP.decode().encode("utf-16"),
        b"<?xml version='1.0' encoding='x-unknown'?>" + b"<<" + OF_XMP,
        xmp(creators("&a8;"), LAUGHS.replace("&a0;", "&a;")),
        xmp(creators("A &e;"), ABROAD),
        xmp(creators("A &nbsp;")),
        xmp(creators("A"), "<!DOCTYPE x>"),
        xmp(creators("A" * MAX_PACKET_BYTES)),
        b"<a>" * 20_000,
    ],
    ids=[
        "empty",
        "bytes",
        "cut",
        "bad UTF-8",
        "UTF-16",
        "no XML",
        "entities",
        "file",
        "entity",
        "type",
        "large",
        "deep",
    ],
)
def test_a_packet_that_is_damaged_or_hostile_says_nothing(packet):
    assert read_creator_and_rights(packet) == ([], "")


def test_an_encoding_that_a_packet_claims_changes_nothing():
    assert read_creator_and_rights(xmp(creators("Zoë"), "<?xml version='1.0' encoding='big5'?>")) == (["Zoë"], "")


@pytest.mark.parametrize("of_one", ["<x:b{0:x}/>", "<x:b{0:x}>"], ids=["beside", "within"])
def test_a_namespace_that_makes_all_names_long_costs_little(of_one):
    uri = "u" * (MAX_PACKET_BYTES // 2 - 100)
    packet = f"<a xmlns:x='{uri}'>" + "".join(map(of_one.format, range(3_800)))
    began = time.process_time()
    assert len(packet) > MAX_PACKET_BYTES * 0.9
    assert read_creator_and_rights(packet[:MAX_PACKET_BYTES].encode()) == ([], "")
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("resources", "names"),
    [
        (iptc(dataset(2, 80, b"A"), dataset(2, 80, b"B")), ("A; B", "")),
        (iptc(dataset(2, 80, "Zoë".encode("latin-1"))), ("Zoë", "")),
        (iptc(dataset(2, 80, b""), dataset(2, 116, b"B")), ("", "B")),
        (iptc(dataset(2, 80, b"A"), b"\x1c\2\x74\xff\xff"), NONE),
        (iptc(dataset(2, 80, b"A"), b"garbage"), NONE),
        (iptc(dataset(2, 80, b"A"), dataset(3, 60, b"")), NONE),
        (iptc(dataset(2, 80, b"A"), dataset(3, 60, b"\1\0"), *[dataset(3, 20, b"\0\1")] * 2), NONE),
        (photoshop((0x0404, b"")), NONE),
        (photoshop((0x0404, b"\x1c\1\0\0")), NONE),
        (photoshop((0x0404, b"\x1c"), (0x0425, b"")), NONE),
        (photoshop((0x0404, dataset(2, 80, b"A")))[:-3] + b"\0\0\0", NONE),
    ],
    ids=[
        "several",
        "Latin-1",
        "blank",
        "overlong",
        "garbage",
        "no layers",
        "two sizes",
        "empty",
        "cut",
        "one byte",
        "no text",
    ],
)
def test_iptc_is_read_as_far_as_it_makes_sense(resources, names):
    assert names_of(jpeg(resources=resources)) == names


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP"])
@given(junk=st.binary(max_size=300), cut=st.integers(0, len(OF_XMP)), at=st.integers(0, len(OF_XMP)))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_damaged_metadata_are_no_error(pillow_format, junk, cut, at):
    body = with_xmp(pillow_format, OF_XMP[:at] + junk + OF_XMP[at + cut :])
    if pillow_format == "JPEG":
        body = body[:2] + photoshop((0x0404, junk), (0x0425, junk)) + body[2:]
    result = compress(body, KEEP)
    assert decode(result.body).size == decode(body).size
    assert len(result.body) <= len(body)


def test_an_agency_s_photograph_says_the_same_in_all_three():
    (path,) = files_under("MALFORMED_DIR", "**/invalid-exif-without-x-resolution.jpg")
    body = path.read_bytes()
    for damage in ({}, {b"Exif\0\0": b"exif\0\0"}, {b"Exif\0\0": b"exif\0\0", b"http://ns.adobe.com/xap": b"-" * 23}):
        for mark, other in damage.items():
            body = body.replace(mark, other)
        assert names_of(body) == ("JOE STEMMER PHOTO", "")

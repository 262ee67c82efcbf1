"""`python -m tests.fuzz.targets TARGET [libFuzzer's arguments]`: feeds a target whatever finds new ways through it.

A target ends with its result or an error that has a code; anything else is a finding, whose input libFuzzer keeps.
`python -m tests.fuzz.targets TARGET crash-…` runs it again.
"""

import csv
import io
import struct
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from functools import partial

import atheris
from PIL import Image, JpegImagePlugin

# What is imported here counts the ways that are taken through it.
with atheris.instrument_imports(include=["imagejobs", "multipart"]):
    from imagejobs.codec import Codec
    from imagejobs.errors import CodecFailed, ImageError, SheetError, UploadInvalid
    from imagejobs.image import compress
    from imagejobs.image_metadata import MAX_NAME_BYTES, read_names
    from imagejobs.image_result import CompressedImage
    from imagejobs.image_xmp import read_creator_and_rights
    from imagejobs.limits import SheetLimits
    from imagejobs.options import CompressionOptions
    from imagejobs.result_sheet import RESULT_COLUMNS, ImageOutcome, write_result
    from imagejobs.sheet import Sheet, check_sheet, read_sheet
    from imagejobs.upload_form import parse_upload_form

LIMITS = SheetLimits(max_rows=100, max_bytes=1_000_000)
PNG = b"\x89PNG\r\n\x1a\n"
CODEC_SECONDS = 60.0
KEEP = CompressionOptions(keep_metadata=True)


def sheet(data: bytes) -> None:
    """A CSV that was checked can be read, and its finished form too, with every row and column."""
    try:
        images = check_sheet(partial(io.BytesIO, data), LIMITS)
    except SheetError:
        return
    read = read_sheet(io.BytesIO(data), LIMITS)
    rows = list(read)
    assert sum(len(row.image_urls) for row in rows) == images
    _check_result(read, [(row, [ImageOutcome(url, None, 2, 1) for url in row.image_urls]) for row in rows])


def _check_result(read: Sheet, rows: list) -> None:
    finished = b"".join(write_result(read.form, rows)).decode()
    text = finished.removeprefix("\ufeff") if read.form.has_byte_order_mark else finished
    header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header[len(read.form.header) :] == list(RESULT_COLUMNS)
    assert len(lines) == len(rows)
    for line, (row, _) in zip(lines, rows, strict=True):
        assert len(line) == len(RESULT_COLUMNS) + max(len(read.form.header), len(row.cells))


def upload_form(data: bytes) -> None:
    """The first line is the Content-Type, the rest the body."""
    content_type, _, body = data.partition(b"\n")
    try:
        form = parse_upload_form(content_type.decode("latin-1"), body)
    except UploadInvalid:
        return
    assert form.file
    assert form.file in body


def image(data: bytes) -> None:
    """A picture gets no larger and can be shown, or is refused for what it is."""
    _check_image(data, lambda: compress(data, KEEP))


def codec(data: bytes) -> None:
    """The same in a process of its own, which may run out of memory, and may neither crash nor hang."""
    _check_image(data, lambda: CODEC.compress(data, KEEP, time.monotonic() + CODEC_SECONDS))


def names(data: bytes) -> None:
    """XMP and IPTC of any bytes give names that EXIF can hold, or none."""
    creators, rights = read_creator_and_rights(data)
    assert all([*creators, rights or "-"])
    picture = JpegImagePlugin.JpegImageFile(io.BytesIO(JPEG))
    picture.info |= {"xmp": data, "photoshop": {0x0404: data}}
    for _, name in read_names(picture):
        assert 0 < len(name) <= MAX_NAME_BYTES
        assert name.decode().isprintable()


def _jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG")
    return file.getvalue()


JPEG = _jpeg()
CODEC = Codec()


def _check_image(data: bytes, compress_it: Callable[[], CompressedImage]) -> None:
    try:
        result = compress_it()
    except CodecFailed as error:
        if "memory" not in error.message:
            raise
        return
    except ImageError:
        return
    assert len(result.body) <= len(data)
    with warnings.catch_warnings(), Image.open(io.BytesIO(result.body)) as shown:
        warnings.simplefilter("ignore")
        for frame in range(getattr(shown, "n_frames", 1)):
            shown.seek(frame)
            shown.load()
        assert shown.size == (result.width, result.height)


def with_sums(data: bytes) -> bytes:
    """A PNG with right checksums: what is behind a wrong one is never reached."""
    if not data.startswith(PNG):
        return data
    parts, place = [PNG], len(PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        body = data[place + 4 : place + 8 + length]
        parts.append(struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body)))
        place += 12 + length
    return b"".join(parts)


def _mutate_picture(data: bytes, max_size: int, _seed: int) -> bytes:
    return with_sums(atheris.Mutate(data, max_size))[:max_size]


TARGETS = {"sheet": sheet, "upload_form": upload_form, "image": image, "codec": codec, "names": names}


def main() -> None:
    name, *arguments = sys.argv[1:]
    warnings.simplefilter("error")
    mutator = {"custom_mutator": _mutate_picture} if name in {"image", "codec"} else {}
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name], **mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

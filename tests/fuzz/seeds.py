"""What the fuzzers begin with: the project's samples, made small, and third-party files where there are any."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageSequence

SAMPLES = Path(__file__).parents[2] / "samples"
MAX_SEED_BYTES = 20_000
SEED_PIXELS = 48
SHEETS = {".csv"}
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif"}


def sheets() -> Iterator[bytes]:
    text = (SAMPLES / "products.csv").read_bytes()
    yield text
    yield b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")
    yield b'"S. No.",Product Name,Input Image Urls,Note\r\n1,"a\r\nb","http://e/1,http://e/2",=1+1\r\n,,,\r\n2,x\r\n'
    yield from _third_party(SHEETS)


def forms() -> Iterator[bytes]:
    for sheet in sheets():
        part = b'--XX\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        fields = part % (b"quality", b"", b"80") + part % (b"file", b'; filename="a.csv"', sheet)
        yield b"multipart/form-data; boundary=XX\n" + fields + b"--XX--\r\n"


def pictures() -> Iterator[bytes]:
    for path in sorted(SAMPLES.iterdir()):
        if path.suffix in PICTURES:
            yield _small(path)
    yield from _third_party(PICTURES)


def names() -> Iterator[bytes]:
    description = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    yield (
        f'<?xpacket begin=""?>{description} xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:creator><rdf:Seq><rdf:li>A &amp; B</rdf:li></rdf:Seq></dc:creator>"
        '<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">C</rdf:li></rdf:Alt></dc:rights>'
        '</rdf:Description></rdf:RDF><?xpacket end="w"?>'
    ).encode()
    yield b"<!DOCTYPE x [<!ENTITY a 'A'>]><x>&a;</x>"
    yield b"\x1c\2\x50\0\1A\x1c\2\x50\0\1B\x1c\2\x74\0\3\xc2\xa9C"


SEEDS = {"sheet": sheets, "upload_form": forms, "image": pictures, "codec": pictures, "names": names}


def write_seeds(target: str, folder: Path) -> None:
    """Write a target's seeds as files of their own."""
    folder.mkdir(parents=True)
    for number, seed in enumerate(SEEDS[target]()):
        (folder / f"{number:04}").write_bytes(seed)


def _small(path: Path) -> bytes:
    file = io.BytesIO()
    with Image.open(path) as picture:
        frames = [frame.crop((0, 0, SEED_PIXELS, SEED_PIXELS)) for frame in ImageSequence.Iterator(picture)][:3]
        more = {"save_all": True, "append_images": frames[1:], "duration": 50} if len(frames) > 1 else {}
        frames[0].save(file, picture.format, icc_profile=picture.info.get("icc_profile"), **more)
    return file.getvalue()


def _third_party(suffixes: set[str]) -> Iterator[bytes]:
    for variable in ("MALFORMED_DIR", "CORPUS_DIR"):
        folder = os.environ.get(variable)
        for path in sorted(Path(folder).rglob("*")) if folder else []:
            if path.suffix.lower() in suffixes and path.stat().st_size <= MAX_SEED_BYTES:
                yield path.read_bytes()

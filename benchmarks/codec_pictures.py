"""What the compression benchmarks work on: the folder that CORPUS or CORPUS_DIR names, or the project's samples."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from benchmarks.pictures import SAMPLES, jpegs

MEGAPIXELS = 2.0
"""To what larger pictures are scaled down, so that scoring them takes no longer than the others."""

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif"})
_PHOTOGRAPH_COLOURS = 0.05  # a pixel at least: of the corpus, screenshots have up to 0.007, photographs from 0.16
_LARGE_MEGAPIXELS = 20.0
_LARGE_SIZE = (6000, 4000)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as a customer hands it in."""

    name: str
    body: bytes

    def decoded(self) -> Image.Image:
        """Its pixels."""
        with Image.open(io.BytesIO(self.body)) as picture:
            picture.load()
            return picture


def photographs() -> list[Upload]:
    """Photographs and product shots of the folder: its JPEGs in RGB, and its opaque PNGs of very many colours."""
    if not is_corpus():
        return [Upload(f"sample {number}", body) for number, body in enumerate(jpegs(), 1)]
    return [_scaled_down(upload) for upload in uploads() if _is_photograph(upload)]


def is_corpus() -> bool:
    """Whether a folder was named, or these are the project's samples."""
    return _folder() != SAMPLES


def uploads() -> list[Upload]:
    """Every picture of the folder."""
    paths = (path for path in sorted(_folder().rglob("*")) if path.suffix.lower() in _SUFFIXES)
    return [Upload(str(path.relative_to(_folder())), path.read_bytes()) for path in paths]


def large_jpeg() -> Upload:
    """A JPEG of some 24 megapixels: the folder's, or a sample enlarged."""
    jpegs_there = [upload for upload in uploads() if _is_rgb_jpeg(upload.body)]
    large = [upload for upload in jpegs_there if _megapixels(upload.body) > _LARGE_MEGAPIXELS]
    if large:
        return large[0]
    enlarged = ImageOps.fit(jpegs_there[0].decoded(), _LARGE_SIZE)
    return Upload("24 megapixels", _as_jpeg(enlarged))


def _folder() -> Path:
    return Path(os.environ.get("CORPUS") or os.environ.get("CORPUS_DIR") or SAMPLES)


def _is_rgb_jpeg(body: bytes) -> bool:
    with Image.open(io.BytesIO(body)) as picture:
        return picture.format == "JPEG" and picture.mode == "RGB"


def _is_photograph(upload: Upload) -> bool:
    with Image.open(io.BytesIO(upload.body)) as picture:
        if picture.mode != "RGB" or picture.format not in {"JPEG", "PNG"}:
            return False
        most_colours = int(picture.width * picture.height * _PHOTOGRAPH_COLOURS)
        return picture.format == "JPEG" or picture.getcolors(most_colours) is None


def _megapixels(body: bytes) -> float:
    with Image.open(io.BytesIO(body)) as picture:
        return picture.width * picture.height / 1e6


def _scaled_down(upload: Upload) -> Upload:
    if _megapixels(upload.body) <= MEGAPIXELS * 1.25:
        return upload
    picture = upload.decoded()
    scale = (MEGAPIXELS * 1e6 / (picture.width * picture.height)) ** 0.5
    return Upload(upload.name, _as_jpeg(ImageOps.scale(picture, scale)))


def _as_jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()

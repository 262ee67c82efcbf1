"""SSIMULACRA2 of coded pictures, kept in build/ by what was compared, so that measuring again is quick."""

import hashlib
import io
import json
from pathlib import Path
from types import TracebackType
from typing import Self

from PIL import Image

from benchmarks.codec_pictures import Upload
from benchmarks.report import BUILD
from imagejobs import image_score


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=12).hexdigest()


class Scores:
    """The scores so far, by the contents compared and the metric's own source."""

    def __init__(self) -> None:
        self._path = BUILD / f"scores-{_digest(Path(image_score.__file__).read_bytes())}.json"
        self._known = self._kept()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.keep()

    def keep(self) -> None:
        """Write them to build/, beside what another run has kept there in the meantime."""
        BUILD.mkdir(exist_ok=True)
        self._path.write_text(json.dumps({**self._kept(), **self._known}, indent=0) + "\n")

    def _kept(self) -> dict[str, float]:
        return dict(json.loads(self._path.read_text())) if self._path.exists() else {}

    def of(self, upload: Upload, coded: bytes) -> float:
        """The score of a coded picture against the upload that it was made from."""
        key = f"{_digest(upload.body)} {_digest(coded)}"
        if key not in self._known:
            with Image.open(io.BytesIO(coded)) as picture:
                self._known[key] = round(image_score.score(upload.decoded(), picture), 3)
        return self._known[key]

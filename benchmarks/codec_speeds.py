"""What AVIF's speed buys: bytes at equal score and CPU, beside Pillow's default JPEG and WebP; the reason of `auto`.

CORPUS_DIR=dir python -m benchmarks.codec_speeds
"""

from functools import partial

from PIL import Image

from benchmarks.codec_cpu import cpu_seconds
from benchmarks.codec_curves import QUALITIES, curve, ratio_at
from benchmarks.codec_encoders import DEFAULT, ENCODERS, Encode
from benchmarks.codec_pictures import photographs
from benchmarks.codec_scores import Scores
from imagejobs.image_quality import encoder_quality

MEASURED = (DEFAULT, "webp", "avif speed 6", "avif", "avif speed 9", "avif speed 10")
SCORES = (70, 80, 85)
ROUNDS = 2


def main() -> None:
    """Measure and print."""
    uploads = photographs()
    numbers = {name: [_number(name, quality) for quality in (*QUALITIES, 80)] for name in MEASURED}
    curves = {}
    with Scores() as scores:
        for name in MEASURED:
            curves[name] = {
                upload.name: curve(upload, [ENCODERS[name](upload.decoded(), n) for n in numbers[name]], scores)
                for upload in uploads
            }
            scores.keep()
    at_80 = {name: partial(_at, ENCODERS[name], numbers[name][-1]) for name in MEASURED}
    cpu = cpu_seconds(at_80, uploads, ROUNDS)
    for name in MEASURED:
        found = " ".join(f"{ratio_at(score, curves[name], curves[DEFAULT])[0]:.3f}" for score in SCORES)
        print(f"{name:<14} bytes at {SCORES}: {found}   CPU {cpu[name] / cpu[DEFAULT]:.1f}")


def _at(encode: Encode, number: int, picture: Image.Image) -> bytes:
    return encode(picture, number)


def _number(name: str, quality: int) -> int:
    return quality if name == DEFAULT else encoder_quality(name.split(maxsplit=1)[0], quality)


if __name__ == "__main__":
    main()

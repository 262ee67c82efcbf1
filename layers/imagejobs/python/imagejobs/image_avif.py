"""Step `compress`: a decoded picture in, an AVIF out. No upload is read as one."""

import io

from PIL import AvifImagePlugin, Image

from imagejobs.image_quality import encoder_quality
from imagejobs.image_size import with_alpha

MAX_PIXELS = 24_000_000
"""Of one picture: libaom takes 27 to 31 MiB a megapixel, and `codec.MAX_MEMORY_BYTES` is all there is."""

_SPEED = 10
"""0 to 10. 9 and 10 cost and give the same: 5 times the CPU of Pillow's default JPEG for 0.58 of its bytes at the same
score; 8 takes 14 times for 0.52, 6 takes 38 times for 0.45 (docs/compression.md)."""

_SUBSAMPLING = {0: "4:4:4", 2: "4:2:0"}  # by Pillow's numbers for JPEG

# No file may be opened in the codec's process, and Pillow asks there how many threads it may have unless it is told.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def encode(picture: Image.Image, quality: int, subsampling: int, profile: bytes | None, exif: bytes | None) -> bytes:
    """Code a picture with or without alpha, in one thread.

    Args:
        picture: Decoded; `fits` has said yes.
        quality: 1 to 100 of the one scale.
        subsampling: Pillow's number for JPEG: 0 is 4:4:4, 2 is 4:2:0; grey has no chroma.
        profile: Of the picture's colours; None for sRGB.
        exif: In TIFF form, or None.
    """
    file = io.BytesIO()
    explicit = with_alpha(picture)
    explicit.save(
        file,
        "AVIF",
        quality=encoder_quality("avif", quality),
        subsampling="4:0:0" if explicit.mode == "L" else _SUBSAMPLING[subsampling],
        speed=_SPEED,
        max_threads=1,
        autotiling=False,
        icc_profile=profile or b"",
        exif=exif or b"",
    )
    return file.getvalue()


def fits(picture: Image.Image) -> bool:
    """Tell whether the process has room for coding the picture."""
    return picture.width * picture.height <= MAX_PIXELS

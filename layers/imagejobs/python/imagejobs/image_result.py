"""Step `compress`: what becomes of an image, for those who make it and those who only store it."""

from dataclasses import dataclass

OUTCOMES = frozenset({"smaller", "unchanged", "converted"})
ENCODERS = frozenset({"jpeg", "jpegli", "webp", "webp-lossless", "avif", "png", "png-palette", "gif"})

CONTENTS = frozenset({"photograph", "graphic"})
EXACT_SCORE = 100.0
"""SSIMULACRA2 of a picture and itself."""

MEDIA_TYPES = {
    "jpeg": ("image/jpeg", "jpg"),
    "png": ("image/png", "png"),
    "webp": ("image/webp", "webp"),
    "gif": ("image/gif", "gif"),
    "avif": ("image/avif", "avif"),
}
"""Of each format that is handed out, its media type and the extension of a file name."""


@dataclass(frozen=True, slots=True)
class Coding:
    """A coded picture.

    Attributes:
        body: Its bytes.
        format: "jpeg", "png", "webp", "gif" or "avif".
        encoder: One of `ENCODERS`.
        encoder_quality: The number that the encoder was given; None when it takes none.
        size: Width and height in pixels, upright.
        score: SSIMULACRA2 against the picture it was made from; `EXACT_SCORE` when it was coded without loss, None when
            that was not looked at.
    """

    body: bytes
    format: str
    encoder: str
    encoder_quality: int | None
    size: tuple[int, int]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class CompressedImage:
    """What becomes of an image.

    Attributes:
        body: The coded picture.
        format: "jpeg", "png", "webp", "gif" or "avif"; the input's own unless the outcome is "converted".
        content_type: Its media type, such as "image/jpeg".
        extension: Of a file name, without the dot: "jpg", "png", "webp", "gif" or "avif".
        width: Columns in pixels, as a person sees it.
        height: Rows in pixels, as a person sees it.
        outcome: "smaller", "converted" when it is that in another format, or "unchanged" when the coded picture is the
            input's own, and only the file is built anew.
        perceptual_hash: Of the picture that came, by `image_hash`: 64 bits as a signed number.
        encoder: One of `ENCODERS`; None for "unchanged".
        encoder_quality: The number that the encoder was given; None when it takes none.
        cpu_ms: Milliseconds of CPU that it took, where that was measured.
        score: SSIMULACRA2 against the picture that the encoder got, to two decimals, where `min_quality` asked for one;
            100 for what was coded without loss, or not anew.
        content: "photograph" or "graphic", of a still picture that was stored without loss as PNG or WebP; None else.
    """

    body: bytes
    format: str
    content_type: str
    extension: str
    width: int
    height: int
    outcome: str
    perceptual_hash: int
    encoder: str | None = None
    encoder_quality: int | None = None
    cpu_ms: int | None = None
    score: float | None = None
    content: str | None = None

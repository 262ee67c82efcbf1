"""Renders the project's sample pictures; run it again after a change: `python samples/render.py`.

Everything is turned on a lathe: a radius for each height gives a normal for each point, and two lights
and a window shade it.
Pillow and the standard library only; the same version of Pillow writes the same bytes.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, ImageChops, ImageDraw, ImageFilter, ImageFont

FOLDER = Path(__file__).parent
COLUMNS = 192  # samples of the shading around a piece; stretched to its width, row by row
SUPERSAMPLING = 2

Colour = tuple[float, float, float]
Glaze = Callable[[float, float], Colour]
"""Colour (0 to 1 a channel) at an angle around the piece (radians) and a height (0 top to 1 bottom)."""

KEY_LIGHT = (-0.52, -0.58, 0.63)
FILL_LIGHT = (0.80, -0.10, 0.59)


@dataclass(frozen=True, slots=True)
class Piece:
    """Something turned on a lathe.

    Attributes:
        outline: (height, radius) pairs from top (0) to bottom (1); the radius in units of the height.
        glaze: Its colour.
        gloss: 0 matt to 1 shining.
        glow: Light of its own, 0 to 1, as of a lamp shade.
    """

    outline: tuple[tuple[float, float], ...]
    glaze: Glaze
    gloss: float = 0.6
    glow: float = 0.0


def plain(red: int, green: int, blue: int) -> Glaze:
    """One colour all over."""
    return lambda _angle, _height: (red / 255, green / 255, blue / 255)


def dipped(upper: tuple[int, int, int], lower: tuple[int, int, int], line: float) -> Glaze:
    """Two glazes that meet in a wavy line."""

    def colour(angle: float, height: float) -> Colour:
        edge = line + 0.015 * math.sin(angle * 5) + 0.010 * math.sin(angle * 11 + 1)
        share = smooth((height - edge) / 0.02 + 0.5)
        speckle = 0.04 * math.sin(angle * 91 + height * 157) * math.sin(angle * 53 - height * 211)
        red, green, blue = ((a + (b - a) * share) / 255 + speckle for a, b in zip(upper, lower, strict=True))
        return red, green, blue

    return colour


def striped(base: tuple[int, int, int], stripe: tuple[int, int, int], count: int, turn: float = 0.0) -> Glaze:
    """Stripes that wind around, turned by `turn` radians."""

    def colour(angle: float, height: float) -> Colour:
        wave = math.sin((angle + turn) * count + height * 9)
        share = smooth(wave * 3)
        red, green, blue = ((a + (b - a) * share) / 255 for a, b in zip(base, stripe, strict=True))
        return red, green, blue

    return colour


VASE = (
    (0.0, 0.15),
    (0.03, 0.16),
    (0.12, 0.09),
    (0.22, 0.10),
    (0.5, 0.29),
    (0.68, 0.28),
    (0.97, 0.14),
    (1.0, 0.14),
)
JUG = ((0.0, 0.13), (0.04, 0.14), (0.3, 0.17), (0.62, 0.27), (0.85, 0.25), (0.98, 0.17), (1.0, 0.17))
BOTTLE = ((0.0, 0.05), (0.04, 0.055), (0.06, 0.045), (0.3, 0.05), (0.45, 0.16), (0.96, 0.17), (1.0, 0.155))
BOWL = ((0.0, 0.85), (0.06, 0.86), (0.4, 0.74), (0.75, 0.45), (0.9, 0.28), (1.0, 0.28))
MUG = ((0.0, 0.36), (0.03, 0.37), (0.5, 0.36), (0.93, 0.37), (1.0, 0.32))
SHADE = ((0.0, 0.30), (0.01, 0.31), (0.98, 0.68), (1.0, 0.67))
STAND = ((0.0, 0.03), (0.2, 0.03), (0.35, 0.10), (0.6, 0.19), (0.9, 0.16), (1.0, 0.20))


def smooth(value: float) -> float:
    """Ease from 0 to 1, and stay there outside."""
    value = min(1.0, max(0.0, value))
    return value * value * (3 - 2 * value)


def radius_at(outline: tuple[tuple[float, float], ...], height: float) -> float:
    """Interpolate through the outline by a Catmull-Rom spline, so that no edge shows between its points."""
    index = next((i for i in range(len(outline) - 2) if height <= outline[i + 1][0]), len(outline) - 2)
    (low, start), (high, end) = outline[index], outline[index + 1]
    before = outline[max(index - 1, 0)]
    after = outline[min(index + 2, len(outline) - 1)]
    span = high - low
    slope_in = (end - before[1]) / (high - before[0])
    slope_out = (after[1] - start) / (after[0] - low)
    t = (height - low) / span
    rest = 1 - t
    curve = start * rest * rest * (1 + 2 * t) + end * t * t * (3 - 2 * t)
    return max(0.01, curve + span * (slope_in * t * rest * rest - slope_out * t * t * rest))


def dot(left: Colour, right: Colour) -> float:
    """Scalar product."""
    return left[0] * right[0] + left[1] * right[1] + left[2] * right[2]


def shade(piece: Piece, side: float, slope: float, height: float) -> bytes:
    """Colour of the point `side` (-1 left to 1 right) where the outline widens by `slope`."""
    depth = math.sqrt(max(0.0, 1 - side * side))
    length = math.sqrt(1 + slope * slope)
    normal = (side / length, -slope / length, depth / length)
    diffuse = 0.80 * max(0.0, dot(normal, KEY_LIGHT)) + 0.22 * max(0.0, dot(normal, FILL_LIGHT)) + 0.13
    window = smooth(4 - 22 * abs(side + 0.47)) * smooth(6 * (0.75 - abs(slope)))
    rim = (1 - depth) ** 4
    shine = piece.gloss * (0.42 * window + 0.16 * rim + 0.5 * max(0.0, dot(normal, (-0.3, -0.34, 0.89))) ** 60)
    light = diffuse + piece.glow * (0.75 + 0.35 * depth - 0.25 * abs(height - 0.62))
    colour = piece.glaze(math.asin(side), height)
    return bytes(min(255, max(0, round(255 * (channel * light + shine) ** 0.92))) for channel in colour)


def turned(piece: Piece, height: int) -> Image.Image:
    """Render a piece with alpha, `height` pixels high."""
    rows = height * SUPERSAMPLING
    radii = [radius_at(piece.outline, y / (rows - 1)) * rows for y in range(rows)]
    widest = math.ceil(max(radii))
    canvas = Image.new("RGBA", (2 * widest + 4, rows), (0, 0, 0, 0))
    for y, radius in enumerate(radii):
        slope = (radii[min(y + 4, rows - 1)] - radii[max(y - 4, 0)]) / (min(y + 4, rows - 1) - max(y - 4, 0))
        colours = (shade(piece, (2 * x + 1) / COLUMNS - 1, slope, y / rows) for x in range(COLUMNS))
        row = Image.frombytes("RGB", (COLUMNS, 1), b"".join(colours))
        canvas.paste(
            row.resize((max(1, round(2 * radius)), 1), Image.Resampling.BICUBIC),
            (widest + 2 - round(radius), y),
        )
    return canvas.resize((canvas.width // SUPERSAMPLING, height), Image.Resampling.LANCZOS)


def grain(size: tuple[int, int], strength: int, seed: str) -> Image.Image:
    """Noise around 0, as of a sensor, from 0 to 2 * `strength`."""
    noise = Image.frombytes("L", size, hashlib.shake_256(seed.encode()).digest(size[0] * size[1]))
    return noise.filter(ImageFilter.GaussianBlur(0.6)).point(lambda value: round(value * 2 * strength / 255))


def photographed(picture: Image.Image, strength: int, seed: str) -> Image.Image:
    """Add the grain of a sensor."""
    noise = grain(picture.size, strength, seed)
    return ImageChops.add(picture, Image.merge("RGB", (noise,) * 3), offset=-strength)


def backdrop(size: tuple[int, int], wall: tuple[int, int, int], floor: tuple[int, int, int]) -> Image.Image:
    """A studio's paper sweep: wall into floor without an edge, brighter in the middle."""
    width, height = size
    sweep = Image.new("L", (1, height))
    sweep.putdata([round(255 * smooth((y / height - 0.55) / 0.3)) for y in range(height)])
    paper = Image.composite(Image.new("RGB", size, floor), Image.new("RGB", size, wall), sweep.resize(size))
    vignette = Image.radial_gradient("L").resize((width * 3 // 2, height * 3 // 2))
    left, top = width // 5, height // 4
    vignette = vignette.crop((left, top, left + width, top + height)).point(lambda value: 255 - value * 5 // 12)
    return ImageChops.multiply(paper, Image.merge("RGB", (vignette,) * 3))


def with_shadow(scene: Image.Image, centre: int, ground: int, width: int) -> Image.Image:
    """Darken the floor: a long soft shadow to the right, a short hard one where the piece stands."""
    dark = Image.new("L", scene.size, 0)
    draw = ImageDraw.Draw(dark)
    draw.ellipse((centre - width * 2 // 5, ground - width // 8, centre + width, ground + width // 8), fill=110)
    dark = dark.filter(ImageFilter.GaussianBlur(width / 9))
    contact = Image.new("L", scene.size, 0)
    box = (centre - width * 9 // 20, ground - width // 16, centre + width // 2, ground + width // 18)
    ImageDraw.Draw(contact).ellipse(box, fill=170)
    dark = ImageChops.lighter(dark, contact.filter(ImageFilter.GaussianBlur(width / 40)))
    return Image.composite(Image.new("RGB", scene.size, (28, 24, 26)), scene, dark)


def rounded_base(piece: Image.Image, outline: tuple[tuple[float, float], ...]) -> Image.Image:
    """Cut the flat lower edge to the curve that a round foot shows from slightly above."""
    foot = outline[-1][1] * piece.height
    depth = max(2, round(foot * 0.16))
    scale = 4
    mask = Image.new("L", (piece.width * scale, depth * scale), 0)
    middle, edge = piece.width * scale / 2, foot * scale
    curve = (middle - edge, -depth * scale, middle + edge, depth * scale - 1)
    ImageDraw.Draw(mask).ellipse(curve, fill=255)
    whole = Image.new("L", piece.size, 255)
    whole.paste(mask.resize((piece.width, depth), Image.Resampling.LANCZOS), (0, piece.height - depth))
    cut = piece.copy()
    cut.putalpha(ImageChops.darker(piece.getchannel("A"), whole))
    return cut


def with_opening(
    piece: Image.Image, outline: tuple[tuple[float, float], ...], inside: tuple[int, int, int]
) -> Image.Image:
    """Add the mouth of a vessel, seen from slightly above."""
    lip = outline[0][1] * piece.height
    depth = max(3, round(lip * 0.17))
    opened = Image.new("RGBA", (piece.width, piece.height + depth), (0, 0, 0, 0))
    opened.paste(piece, (0, depth))
    scale = 4
    mouth = Image.new("RGBA", (opened.width * scale, 2 * depth * scale), (0, 0, 0, 0))
    draw = ImageDraw.Draw(mouth)
    middle, edge, rim = opened.width * scale / 2, lip * scale, max(2, depth // 5) * scale
    light = tuple(min(255, channel + 95) for channel in inside)
    draw.ellipse((middle - edge, 0, middle + edge, 2 * depth * scale - 1), fill=(*light, 255))
    draw.ellipse((middle - edge + rim, rim, middle + edge - rim, 2 * depth * scale - 1 - rim), fill=(*inside, 255))
    opened.alpha_composite(mouth.resize((opened.width, 2 * depth), Image.Resampling.LANCZOS))
    return opened


def vessel(piece: Piece, height: int, inside: tuple[int, int, int]) -> Image.Image:
    """Render a piece with a round foot and an open mouth."""
    return with_opening(rounded_base(turned(piece, height), piece.outline), piece.outline, inside)


def in_studio(piece: Image.Image, scene: Image.Image, foot: float, strength: int, seed: str) -> Image.Image:
    """Stand a piece on the floor of a scene and take its photograph."""
    ground = round(scene.height * 0.86)
    scene = with_shadow(scene, scene.width // 2, ground - round(foot * 0.12), round(2.6 * foot))
    scene.paste(piece, ((scene.width - piece.width) // 2, ground - piece.height), piece)
    return photographed(scene, strength, seed)


def vase() -> None:
    """A studio photograph, JPEG 4:2:0."""
    piece = Piece(VASE, dipped((238, 232, 220), (28, 92, 122), 0.46), gloss=0.8)
    scene = backdrop((1200, 1500), (226, 219, 209), (205, 194, 181))
    picture = in_studio(vessel(piece, 1000, (92, 84, 76)), scene, 140, 4, "vase")
    picture.save(FOLDER / "vase.jpg", quality=93)


def vase_side() -> None:
    """A camera held upright writes its rows sideways and says so in EXIF orientation 6."""
    piece = Piece(VASE, dipped((240, 226, 206), (160, 70, 52), 0.40), gloss=0.8)
    scene = backdrop((960, 1280), (196, 206, 208), (172, 180, 182))
    picture = in_studio(vessel(piece, 860, (92, 84, 76)), scene, 120, 3, "vase-side")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Sample camera"
    picture.transpose(Image.Transpose.ROTATE_90).save(FOLDER / "vase-side.jpg", quality=92, exif=exif)


def jug() -> None:
    """JPEG 4:4:4."""
    piece = Piece(JUG, striped((60, 96, 84), (232, 222, 196), 5), gloss=0.5)
    scene = backdrop((1200, 1200), (232, 222, 196), (214, 198, 164))
    picture = in_studio(vessel(piece, 780, (40, 58, 52)), scene, 133, 3, "jug")
    picture.save(FOLDER / "jug.jpg", quality=92, subsampling="4:4:4")


def lamp_scene(size: tuple[int, int], glow: float) -> Image.Image:
    """A table lamp that gives `glow` (0 to 1) of its light."""
    width, height = size
    dark = 0.35 + 0.65 * glow
    wall = (round(176 * dark), round(150 * dark), round(128 * dark))
    floor = (round(128 * dark), round(98 * dark), round(78 * dark))
    scene = backdrop(size, wall, floor)
    halo = Image.radial_gradient("L").resize((width * 3 // 2, width * 3 // 2)).point(lambda value: 255 - value)
    light = Image.new("L", size, 0)
    light.paste(halo, (-width // 4, height * 2 // 5 - width * 3 // 4))
    warm = [light.point(lambda value, s=share: round(value * s * glow)) for share in (0.34, 0.24, 0.12)]
    scene = ImageChops.add(scene, Image.merge("RGB", warm))
    ground = round(height * 0.88)
    scene = with_shadow(scene, width // 2, ground - height // 90, width // 3)
    stand = rounded_base(turned(Piece(STAND, plain(70, 84, 96), gloss=0.9), height * 9 // 20), STAND)
    scene.paste(stand, ((width - stand.width) // 2, ground - stand.height), stand)
    lampshade = Piece(SHADE, plain(246, 222, 178), gloss=0.0, glow=0.04 + 0.36 * glow)
    cover = rounded_base(turned(lampshade, height * 3 // 10), SHADE)
    scene.paste(cover, ((width - cover.width) // 2, ground - stand.height - cover.height * 4 // 5), cover)
    return scene


def lamp() -> None:
    """A warm, dark photograph, JPEG."""
    photographed(lamp_scene((1000, 1250), 0.9), 3, "lamp").save(FOLDER / "lamp.jpg", quality=93)


def lamp_dimming() -> None:
    """An animated WebP whose frames last differently long."""
    frames = [lamp_scene((320, 400), 0.5 - 0.45 * math.cos(math.tau * step / 8)) for step in range(8)]
    durations = [400, 120, 120, 120, 400, 120, 120, 120]
    frames[0].save(
        FOLDER / "lamp-dimming.webp",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=92,
    )


def bowl() -> None:
    """Print shops send CMYK."""
    piece = Piece(BOWL, dipped((222, 120, 60), (60, 40, 44), 0.30), gloss=0.7)
    scene = backdrop((800, 600), (232, 230, 226), (210, 206, 200))
    picture = in_studio(vessel(piece, 220, (168, 76, 34)), scene, 64, 2, "bowl")
    picture.convert("CMYK").save(FOLDER / "bowl-print.jpg", quality=88)


def bottle() -> None:
    """A cut-out with alpha, PNG."""
    piece = Piece(BOTTLE, striped((24, 88, 62), (40, 122, 88), 3), gloss=1.0)
    cut_out = vessel(piece, 600, (12, 34, 26))
    cut_out.save(FOLDER / "bottle.png", compress_level=6)


def chart() -> None:
    """A page as it comes from a screenshot: flat colours, sharp text."""
    page = Image.new("RGB", (1100, 660), (250, 250, 252))
    draw = ImageDraw.Draw(page)
    large, small = ImageFont.load_default(30), ImageFont.load_default(18)
    draw.text((60, 36), "Vases sold per month", font=large, fill=(30, 34, 44))
    for step in range(6):
        y = 560 - step * 80
        draw.line((120, y, 1040, y), fill=(222, 224, 230))
        draw.text((104, y), str(step * 100), font=small, fill=(110, 116, 130), anchor="rm")
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    for index, (month, sold) in enumerate(
        zip(months, (120, 142, 180, 230, 310, 290, 260, 275, 330, 360, 440, 480), strict=True)
    ):
        x = 140 + index * 75
        draw.rounded_rectangle((x, 560 - sold * 4 // 5, x + 48, 560), 6, fill=(46, 120 + index * 6, 160))
        draw.text((x + 24, 584), month, font=small, fill=(80, 86, 100), anchor="mm")
    page.save(FOLDER / "chart.png", compress_level=3)


def relief() -> None:
    """16 bits of grey, as scanners and depth cameras write them."""
    side = 220
    samples = bytearray()
    for y in range(side):
        for x in range(side):
            distance = math.hypot(x - side / 2, y - side / 2) / (side / 2)
            height = math.exp(-3 * distance * distance) * (0.75 + 0.25 * math.cos(distance * 26))
            samples += round(2_000 + 60_000 * height).to_bytes(2, "little")
    Image.frombytes("I;16", (side, side), bytes(samples)).save(FOLDER / "relief-16-bit.png")


def mug() -> None:
    """A lossy WebP."""
    piece = Piece(MUG, striped((238, 236, 230), (204, 84, 62), 2), gloss=0.7)
    scene = backdrop((900, 900), (206, 214, 222), (184, 192, 200))
    picture = in_studio(vessel(piece, 480, (150, 140, 130)), scene, 156, 2, "mug")
    picture.save(FOLDER / "mug.webp", quality=93)


def badge() -> None:
    """Flat art with soft edges and transparency."""
    side, scale = 400, 3
    art = Image.new("RGBA", (side * scale, side * scale), (0, 0, 0, 0))
    draw = ImageDraw.Draw(art)
    draw.ellipse((30, 30, 1170, 1170), fill=(28, 92, 122, 255))
    draw.ellipse((80, 80, 1120, 1120), outline=(238, 232, 220, 255), width=14)
    outline = [(600 + 900 * radius_at(VASE, t / 60), 260 + 640 * t / 60) for t in range(61)]
    draw.polygon(outline + [(1200 - x, y) for x, y in reversed(outline)], fill=(238, 232, 220, 255))
    draw.arc((420, 820, 780, 1040), 20, 160, fill=(226, 150, 60, 255), width=16)
    badge_small = art.resize((side, side), Image.Resampling.LANCZOS)
    badge_small.save(FOLDER / "badge.webp", lossless=True, quality=20, method=0)


def turntable() -> None:
    """An animated GIF."""
    frames = []
    for step in range(12):
        glaze = striped((240, 226, 206), (190, 84, 52), 3, turn=step * math.tau / 36)
        scene = Image.new("RGB", (220, 260), (236, 232, 226))
        piece = vessel(Piece(VASE, glaze, gloss=0.5), 210, (96, 74, 60))
        scene.paste(piece, ((scene.width - piece.width) // 2, 22), piece)
        frames.append(scene.quantize(64, dither=Image.Dither.NONE))
    frames[0].save(
        FOLDER / "turntable.gif", save_all=True, append_images=frames[1:], duration=80, loop=0, optimize=False
    )


def main() -> None:
    """Write every sample beside this file."""
    for render in (
        vase,
        vase_side,
        jug,
        lamp,
        lamp_dimming,
        bowl,
        bottle,
        chart,
        relief,
        mug,
        badge,
        turntable,
    ):
        render()


if __name__ == "__main__":
    main()

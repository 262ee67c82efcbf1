"""Step `compress`: `min_quality`, the score that every lossy coding has to reach against the picture it was made from.

    at `quality` ─► reached? ─► taken
                       │ no
                       ▼
    where the mean picture would reach it ─► between the last that failed and the first that did not ─► the smallest

Only these functions score, and nothing lossy is handed out that they have not scored.
"""

import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from PIL import Image

from imagejobs.image_colour import in_eight_bits
from imagejobs.image_quality import mean_score, quality_of_mean
from imagejobs.image_result import Coding

MAX_PIXELS = 16_000_000
"""Of a picture that is scored. One of grain with 24 takes two thirds of `codec.MAX_SECONDS` for two scores and AVIFs,
and with alpha more than `codec.MAX_MEMORY_BYTES`."""

MIN_SIDE_PIXELS = 64
"""Of such a picture: with less, three scales of the metric are left, and 32 by 32 pixels score 85 whatever is lost."""

_MAX_CODINGS = 6  # of one search
_LEAST_SCORES, _MAX_SCORES = 2, 12  # of a picture, over all formats
_MAX_SCORED_PIXELS = 50_000_000  # of all of those beyond the first two: a score takes 0.15 s a megapixel

_NEAR = 0.5  # points of score above the floor that are not worth another coding
_STEPS = 2  # of quality, likewise
# Points above the floor to aim at, for a coding that just fails is one for nothing: between two ends, and beyond the
# one that failed, where each failure makes it four times as many, and the last try needs some at least.
_AIM, _FIRST_AIM, _LAST_AIM = 0.25, 0.5, 1.5
_BEST = 100

Make = Callable[[int], Coding]
"""Codes a picture at a quality of the one scale."""


@dataclass(slots=True)
class Tries:
    """How many codings of a picture may still be scored, in whatever format: all together have a limit of time."""

    left: int

    @classmethod
    def of(cls, picture: Image.Image) -> Self:
        """Those of a picture of that size."""
        affordable = _MAX_SCORED_PIXELS // (picture.width * picture.height)
        return cls(max(_LEAST_SCORES, min(_MAX_SCORES, affordable)))


@dataclass(frozen=True, slots=True)
class Floor:
    """What a coding must be.

    Attributes:
        least_score: SSIMULACRA2, 1 to 100.
        picture: What it is held against: what the encoder gets.
        below_bytes: A coding of as many is of no use to anybody, and not scored.
        tries: Those that the picture has left.
    """

    least_score: int
    picture: Image.Image
    below_bytes: int
    tries: Tries

    @property
    def fits(self) -> bool:
        """Whether a score of the picture means something, and there is memory and time for another."""
        width, height = self.picture.size
        return self.tries.left > 0 and min(width, height) >= MIN_SIDE_PIXELS and width * height <= MAX_PIXELS

    def is_reached(self, coding: Coding) -> bool:
        """Whether a scored coding may be handed out."""
        return coding.score is not None and coding.score >= self.least_score

    def scored(self, coding: Coding) -> Coding:
        """The coding with its score, unless nobody can take it or it has one."""
        if coding.score is not None or len(coding.body) >= self.below_bytes:
            return coding
        # Loaded by the process that is to score anything, before it gives up opening files; no other has numpy.
        from imagejobs.image_score import score  # noqa: PLC0415

        with Image.open(io.BytesIO(coding.body), formats=[coding.format.upper()]) as coded:
            coded.load()
            self.tries.left -= 1
            return replace(coding, score=score(in_eight_bits(self.picture), in_eight_bits(coded)))


def reaching(codings: Iterable[Coding], floor: Floor) -> Iterator[Coding]:
    """Of codings from the best-looking to the smallest, those that reach the floor, or are too large to be taken."""
    for coding in codings:
        if coding.score is None and not floor.fits:
            return
        scored = floor.scored(coding)
        if len(coding.body) < floor.below_bytes and not floor.is_reached(scored):
            return
        yield scored


def search(make: Make, qualities: Iterable[int], floor: Floor) -> Iterator[Coding]:
    """Yield codings that are too large to be taken, without a score, and then the smallest that reaches the floor.

    Args:
        make: Codes the picture.
        qualities: Where to begin, and where to go on as long as codings are too large.
        floor: What to reach.
    """
    if not floor.fits:
        return
    above = _BEST + 1
    for quality in qualities:
        coding = floor.scored(make(quality))
        if coding.score is None:
            yield coding
            above = quality
            continue
        found = coding if floor.is_reached(coding) else _upward(make, _Bracket(quality, coding.score, above), floor)
        if found:
            yield found
        return


@dataclass(slots=True)
class _Bracket:
    """The quality is looked for above `below`, which failed by `below_score`, and below `above`.

    Attributes:
        below: The highest quality that failed.
        below_score: Its score.
        above: The lowest that did not fail or is too large; 101 for none.
        above_score: Its score; None for none.
    """

    below: int
    below_score: float
    above: int
    above_score: float | None = None

    @property
    def is_closed(self) -> bool:
        return self.above - self.below <= (1 if self.above > _BEST else _STEPS)

    def next_quality(self, aim: float) -> int:
        """Where the score is expected to be `aim`: on the line between both ends, or on the mean picture's curve."""
        if self.above_score is not None:
            share = (aim - self.below_score) / max(self.above_score - self.below_score, _NEAR)
            expected = self.below + share * (self.above - self.below)
        else:
            expected = quality_of_mean(mean_score(self.below) + aim - self.below_score)
            if expected >= self.above and self.above <= _BEST:
                expected = (self.below + self.above) / 2
        return min(max(math.ceil(expected), self.below + 1), self.above - 1)


def _upward(make: Make, bracket: _Bracket, floor: Floor) -> Coding | None:
    found = None
    aim = _FIRST_AIM
    for more in reversed(range(min(_MAX_CODINGS - 1, floor.tries.left))):
        if bracket.is_closed:
            break
        quality = bracket.next_quality(floor.least_score + (_AIM if found else aim if more else max(aim, _LAST_AIM)))
        coding = floor.scored(make(quality))
        if coding.score is None:
            bracket.above, bracket.above_score = quality, None
        elif floor.is_reached(coding):
            bracket.above, bracket.above_score, found = quality, coding.score, coding
            if coding.score <= floor.least_score + _NEAR:
                break
        else:
            bracket.below, bracket.below_score, aim = quality, coding.score, 4 * aim
    return found

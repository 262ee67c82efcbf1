"""Where pictures come from and webhooks go: it answers as the URL and the test say, and remembers what it answered."""

from collections import Counter, defaultdict
from typing import Any

from imagejobs.errors import OriginRefused, OriginUnavailable
from imagejobs.fetch import Fetched, FetchedStart, Posted, Validators
from tests.model.actors import Stage
from tests.unit.image_helpers import encode, noise

HOOK = "https://shop.example/hook"
PICTURE = "picture"
FLAKY_TIMES = 4
# Never the same bytes twice in a row: two workers at one image store two objects.
_PICTURES = [encode(noise((8, 8), seed=seed), "JPEG", quality=97) for seed in range(3)]


class Origin:
    """Stands for the Fetcher. The first folder of an image's URL says what becomes of it: good, flaky, down, gone.

    Args:
        stage: Where its exchanges are effects.

    Attributes:
        said: What was answered at each URL, ever: `PICTURE` or the code of an error.
        is_mended: Every URL has its picture from now on.
        hook_status: What the receiver of webhooks answers.
        events: What it was sent, by event id.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._asked: Counter[str] = Counter()
        self.said: defaultdict[str, set[str]] = defaultdict(set)
        self.is_mended = False
        self.hook_status = 200
        self.events: defaultdict[str, set[bytes]] = defaultdict(set)

    def get(self, url: str, *, known: Validators | None, **_: Any) -> Fetched | None:
        fetched = self._answer(url)
        return None if fetched.validators == known else fetched

    def get_start(self, url: str, *_: Any, **__: Any) -> FetchedStart:
        fetched = self._answer(url)
        return FetchedStart(fetched.body, len(fetched.body), fetched.validators)

    def _answer(self, url: str) -> Fetched:
        self._stage.enter()
        self._asked[url] += 1
        word = "good" if self.is_mended else url.split("/")[3]
        if word == "gone":
            self.said[url].add(OriginRefused.code)
            raise OriginRefused("The origin answered 404.")
        if word == "down" or (word == "flaky" and self._asked[url] <= FLAKY_TIMES):
            self.said[url].add(OriginUnavailable.code)
            raise OriginUnavailable("The origin answered 503.")
        self.said[url].add(PICTURE)
        number = self._asked[url] % len(_PICTURES)
        return Fetched(_PICTURES[number], "image/jpeg", Validators(url, f'"{number}"', None))

    def post(self, _url: str, body: bytes, headers: dict[str, str], **_: Any) -> Posted:
        self._stage.enter()
        self.events[headers["webhook-id"]].add(body)
        return Posted(self.hook_status, None)

"""A customer's pictures, where the stack under test can fetch them: on loopback, or in the stack's own bucket."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from botocore.config import Config

from imagejobs.bucket import Bucket
from operations.target import Target
from tests.unit.fetch_helpers import Answer, Request, http_answer, says, serves

SAMPLES = Path(__file__).parents[2] / "samples"
LINK_SECONDS = 3600


class Shop(Protocol):
    """The sample pictures under their names, and whatever a test puts there; 4xx for all else."""

    def url(self, resource: str) -> str:
        """Where the stack fetches `/vase.jpg`; the same each time."""
        ...

    def put(self, resource: str, picture: bytes) -> None:
        """Serve this from now on."""
        ...


@dataclass
class LoopbackShop:
    """A server beside a local stack: answers as a test scripts it, and takes webhooks."""

    answers: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    webhooks: dict[str, list[Request]] = field(default_factory=lambda: defaultdict(list))
    origin: str = ""

    def __call__(self, request: Request, wire: Any) -> None:
        if request.line.startswith("POST"):
            self.webhooks[request.resource].append(request)
        answers = self.answers.get(request.resource)
        if answers:
            (answers[0] if len(answers) == 1 else answers.pop(0))(request, wire)
        elif request.line.startswith("POST"):
            says(http_answer(status="204 No Content"))(request, wire)
        else:
            self._picture(request)(request, wire)

    def url(self, resource: str) -> str:
        return f"http://{self.origin}{resource}"

    def put(self, resource: str, picture: bytes) -> None:
        """With an entity tag, as S3 serves it."""
        self.answers[resource] = [serves(picture, ETag=f'"{sha256(picture).hexdigest()}"')]

    def _picture(self, request: Request) -> Answer:
        path = SAMPLES / request.resource.removeprefix("/")
        return says(http_answer(path.read_bytes()) if path.is_file() else http_answer(status="404 Not Found"))


@dataclass
class BucketShop:
    """Pictures under a prefix of their own in a deployed stack's bucket, given out as presigned links."""

    bucket: Bucket
    client: Any
    prefix: str
    links: dict[str, str] = field(default_factory=dict)

    def url(self, resource: str) -> str:
        if resource not in self.links:
            sample = SAMPLES / resource.removeprefix("/")
            if sample.is_file():
                self.put(resource, sample.read_bytes())
            target = {"Bucket": self.bucket.name, "Key": self._key(resource)}
            self.links[resource] = self.client.generate_presigned_url("get_object", target, LINK_SECONDS)
        return self.links[resource]

    def put(self, resource: str, picture: bytes) -> None:
        self.bucket.put(self._key(resource), picture, "application/octet-stream")

    def _key(self, resource: str) -> str:
        return f"{self.prefix}{resource.removeprefix('/')}"


@contextmanager
def bucket_shop(target: Target) -> Iterator[BucketShop]:
    """A shop in the stack's bucket; nothing of it is left when the block ends."""
    # As imagejobs.bucket signs its links: the region's own host, by a signature that every region takes.
    config = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
    client = target.session.client("s3", config=config)
    shop = BucketShop(Bucket(client, target.names["bucket"]), client, f"e2e/{uuid4()}/")
    try:
        yield shop
    finally:
        for page in shop.bucket.list_versions(shop.prefix):
            for version in page:
                shop.bucket.delete_version(version)


def sample_of(url: str) -> bytes:
    """The sample picture that a shop serves at a URL."""
    return (SAMPLES / urlsplit(url).path.rsplit("/", 1)[1]).read_bytes()

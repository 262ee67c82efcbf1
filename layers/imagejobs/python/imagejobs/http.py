"""api: what is read from a request of API Gateway, and what an answer looks like."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from imagejobs.answers import Error, Link
from imagejobs.errors import RequestInvalid
from imagejobs.fields import Choice, Matching, TextReader, WholeNumber
from imagejobs.jobs import IMAGE_STATUSES, JOB_STATUSES
from imagejobs.limits import MAX_PAGE_IMAGES, MAX_PAGE_JOBS
from imagejobs.settings import required
from imagejobs.usage import Allowance

Content = TypeVar("Content")

PAGE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""What browsers are told to keep to with every page, beside its Content-Security-Policy."""

_QUALITY = re.compile(r"q=([01](\.[0-9]{0,3})?)")


class Answer(Response[Content]):
    """JSON that no cache keeps; each subclass is one HTTP status, and names the headers that come with it.

    A handler's return type is one of them, or several: `Accepted[JobRetried]`. The API's description is made of that.
    """

    http_status: ClassVar[HTTPStatus]
    media_type: ClassVar[str] = content_types.APPLICATION_JSON
    described_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, content: Content, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(
            self.http_status, self.media_type, content, headers={"Cache-Control": "no-store", **(headers or {})}
        )


class Ok(Answer[Content]):
    """What was asked for."""

    http_status = HTTPStatus.OK


class AboutJob(Answer[Content], Generic[Content]):
    """What was done to a job; its status tells how it goes on."""

    described_headers: ClassVar[Mapping[str, str]] = {"Location": "The job's status."}

    def __init__(self, content: Content, location: str) -> None:
        super().__init__(content, {"Location": location})


class Created(AboutJob[Content]):
    """There is a new job."""

    http_status = HTTPStatus.CREATED


class Accepted(AboutJob[Content]):
    """It is begun."""

    http_status = HTTPStatus.ACCEPTED


class SeeOther(Answer[Link]):
    """Where to get what was asked for."""

    http_status = HTTPStatus.SEE_OTHER
    described_headers: ClassVar[Mapping[str, str]] = {"Location": "Where it is downloaded."}

    def __init__(self, url: str) -> None:
        super().__init__({"url": url}, {"Location": url})


def redirect(event: APIGatewayProxyEvent, url: str, media_type: str) -> SeeOther | Ok[Link]:
    """Send a client on to a file; one that would rather have JSON than what it holds gets the URL with 200.

    What a client wants is its header Accept (RFC 9110, section 12.5.1); without one, anything.
    """
    accept = event.headers.get("accept") or "*/*"
    wants_json = _quality(accept, content_types.APPLICATION_JSON) > _quality(accept, media_type)
    return Ok({"url": url}) if wants_json else SeeOther(url)


def _quality(accept: str, media_type: str) -> float:
    """How much a media type is wanted, 0 to 1: what the most specific range says that covers it."""
    qualities: dict[str, float] = {}
    for media_range in accept.lower().split(","):
        name, *parameters = (part.strip() for part in media_range.split(";"))
        stated = [match[1] for match in map(_QUALITY.fullmatch, parameters) if match]
        qualities[name] = float(stated[0]) if stated else 1.0
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((qualities[name] for name in ranges if name in qualities), 0.0)


class Page(Answer[str]):
    """A page that loads nothing and runs nothing: its one style sheet is let in by its hash."""

    http_status = HTTPStatus.OK
    media_type: ClassVar[str] = "text/html; charset=utf-8"

    def __init__(self, html: str) -> None:
        style = html.partition("<style>")[2].partition("</style>")[0]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        headers = {
            **PAGE_HEADERS,
            "Cache-Control": "public, max-age=300",
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
        }
        super().__init__(html, headers)


def refusal(http_status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response[Error]:
    """An error as all of the API's are."""
    content: Error = {"code": code, "message": message}
    return Response(
        http_status, content_types.APPLICATION_JSON, content, headers={"Cache-Control": "no-store", **(headers or {})}
    )


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or header. A handler that names one as a constant has it in its description.

    Attributes:
        name: As requests have it.
        read: What it may be.
        description: For the API's users.
        default: Read where the request has none; None for a parameter that may be missing.
        example: For the description; a request with it succeeds.
        place: Where in the request it is.
    """

    name: str
    read: TextReader
    description: str
    default: str | None = None
    example: str | None = None
    place: Literal["query", "header"] = "query"

    def of(self, event: APIGatewayProxyEvent) -> Any:  # noqa: ANN401 what `read` makes
        """The request's value, else the default's, else None.

        Raises:
            RequestInvalid: It has a value that is not allowed.
        """
        values = event.query_string_parameters if self.place == "query" else event.headers
        text = values.get(self.name, self.default)
        return None if text is None else self.value_of(text)

    def value_of(self, text: str) -> Any:  # noqa: ANN401 what `read` makes
        """The value that the text says.

        Raises:
            RequestInvalid: It is not allowed.
        """
        try:
            return self.read(text)
        except ValueError as error:
            kind = "parameter" if self.place == "query" else "header"
            raise RequestInvalid(f"The {kind} `{self.name}` is {text[:40]!r}; {error}.") from None


_NEXT = "only what `next` of the page before said is allowed"
_AFTER = "What `next` of the page before said; without it, the first page."


def _image_place(text: str) -> tuple[int, int]:
    row_number, _, position = text.partition("-")
    return int(row_number), int(position)


def _job_place(text: str) -> tuple[int, UUID]:
    microseconds, _, request_id = text.partition("_")
    return int(microseconds), UUID(request_id)


JOBS_STATUS = Parameter("status", Choice(JOB_STATUSES), "Only jobs with this status.")
JOBS_LIMIT = Parameter("limit", WholeNumber(1, MAX_PAGE_JOBS), "Jobs a page.", default="50", example="20")
JOBS_AFTER = Parameter(
    "after", Matching("[0-9]{1,16}_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", _NEXT, _job_place), _AFTER
)
IMAGES_STATUS = Parameter("status", Choice(IMAGE_STATUSES), "Only images with this status.")
IMAGES_LIMIT = Parameter(
    "limit",
    WholeNumber(1, MAX_PAGE_IMAGES),
    "Images a page. One of very long URLs may have fewer; `next` tells whether there are more.",
    default="100",
    example="50",
)
EVENTS_AFTER = Parameter(
    "after", Matching("[0-9]{1,15}", _NEXT, int), "What `next` of the answer before said.", default="0"
)
IMAGES_AFTER = Parameter("after", Matching("[0-9]{1,9}-[0-9]{1,9}", _NEXT, _image_place), _AFTER)

IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    Matching("[!-~]{1,255}", "1 to 255 ASCII characters without spaces are allowed, such as a UUID"),
    "The caller's own name for this upload, such as a UUID. Sent again with the same file and fields, it answers the "
    "same `request_id` and begins no other job (a form is a new one); with others, 409.",
    place="header",
)


def allowance(event: APIGatewayProxyEvent) -> Allowance:
    """The caller and its limits, as the authorizer found them; API Gateway hands numbers on as text."""
    found = event.request_context.authorizer
    return Allowance(str(found["owner"]), int(found["daily_images"]), int(found["requests_per_minute"]))


def owner(event: APIGatewayProxyEvent) -> str:
    """The caller's name."""
    return allowance(event).owner


def file_of_layer(name: str) -> str:
    """A text that lies beside this module: `openapi.json` or `docs.html`, which `make openapi` writes."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def body(event: APIGatewayProxyEvent) -> bytes:
    """The request's body; API Gateway encodes multipart bodies as base64."""
    text = event.body or ""
    return base64.b64decode(text) if event.is_base64_encoded else text.encode()


def base_url(event: APIGatewayProxyEvent) -> str:
    """The API's public URL: the one that the operator names, else API Gateway's own."""
    context = event.request_context
    return required("API_BASE_URL") or f"https://{context.domain_name}/{context.stage}"

"""api: what is read from a request of API Gateway, and what an answer looks like."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from imagejobs.errors import RequestInvalid
from imagejobs.settings import required
from imagejobs.usage import Allowance

_PAGE_TOKEN = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_EVENT_NUMBER = re.compile(r"[0-9]{1,15}")
_PAGE_LIMIT = re.compile(r"[0-9]{1,4}")
_QUALITY = re.compile(r"q=([01](\.[0-9]{0,3})?)")


def answer(http_status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response[str]:
    """JSON that no cache keeps."""
    return Response(
        status_code=http_status,
        content_type=content_types.APPLICATION_JSON,
        body=json.dumps(content),
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def redirect(event: APIGatewayProxyEvent, url: str, media_type: str) -> Response[str]:
    """Send a client on to a file; one that would rather have JSON than what it holds gets the URL with 200.

    What a client wants is its header Accept (RFC 9110, section 12.5.1); without one, anything.
    """
    accept = event.headers.get("accept") or "*/*"
    if _quality(accept, content_types.APPLICATION_JSON) > _quality(accept, media_type):
        return answer(HTTPStatus.OK, {"url": url})
    return answer(HTTPStatus.SEE_OTHER, {"url": url}, {"Location": url})


def _quality(accept: str, media_type: str) -> float:
    """How much a media type is wanted, 0 to 1: what the most specific range says that covers it."""
    qualities: dict[str, float] = {}
    for media_range in accept.lower().split(","):
        name, *parameters = (part.strip() for part in media_range.split(";"))
        stated = [match[1] for match in map(_QUALITY.fullmatch, parameters) if match]
        qualities[name] = float(stated[0]) if stated else 1.0
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((qualities[name] for name in ranges if name in qualities), 0.0)


def allowance(event: APIGatewayProxyEvent) -> Allowance:
    """The caller and its limits, as the authorizer found them; API Gateway hands numbers on as text."""
    found = event.request_context.authorizer
    return Allowance(str(found["owner"]), int(found["daily_images"]), int(found["requests_per_minute"]))


def owner(event: APIGatewayProxyEvent) -> str:
    """The caller's name."""
    return allowance(event).owner


def openapi_yaml() -> str:
    """The API's description, OpenAPI 3.1."""
    return (files(__package__) / "openapi.yaml").read_text(encoding="utf-8")


def body(event: APIGatewayProxyEvent) -> bytes:
    """The request's body; API Gateway encodes multipart bodies as base64."""
    text = event.body or ""
    return base64.b64decode(text) if event.is_base64_encoded else text.encode()


def base_url(event: APIGatewayProxyEvent) -> str:
    """The API's public URL: the one that the operator names, else API Gateway's own."""
    context = event.request_context
    return required("API_BASE_URL") or f"https://{context.domain_name}/{context.stage}"


def page_start(event: APIGatewayProxyEvent) -> tuple[int, int]:
    """Where a page of images begins: `after=<row>-<position>`, as `next` of the page before says.

    Raises:
        RequestInvalid: It is not of that form.
    """
    token = event.get_query_string_value("after", "0-0")
    if match := _PAGE_TOKEN.fullmatch(token):
        return int(match[1]), int(match[2])
    raise RequestInvalid("The parameter `after` is not what `next` of the page before said.")


def event_start(event: APIGatewayProxyEvent) -> int:
    """Where a page of events begins: `after=<number>`, as `next` of the page before says.

    Raises:
        RequestInvalid: It is not a number.
    """
    text = event.get_query_string_value("after", "0")
    if _EVENT_NUMBER.fullmatch(text):
        return int(text)
    raise RequestInvalid("The parameter `after` is not what `next` of the page before said.")


def page_limit(event: APIGatewayProxyEvent, *, default: int, maximum: int) -> int:
    """What a page may hold: `limit=<1 to maximum>`.

    Raises:
        RequestInvalid: It is not such a number.
    """
    text = event.get_query_string_value("limit", str(default))
    if _PAGE_LIMIT.fullmatch(text) and 1 <= int(text) <= maximum:
        return int(text)
    raise RequestInvalid(f"The parameter `limit` is a whole number from 1 to {maximum}.")


def status_filter(event: APIGatewayProxyEvent, statuses: Sequence[str]) -> str | None:
    """Which status is asked for: `status=<one of them>`; None for any.

    Raises:
        RequestInvalid: It is none of them.
    """
    status = event.get_query_string_value("status")
    if status is None or status in statuses:
        return status
    raise RequestInvalid(f"The parameter `status` is one of {', '.join(statuses)}.")

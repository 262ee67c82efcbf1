"""api: what is read from a request of API Gateway, and what an answer looks like."""

import base64
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from imagejobs.errors import RequestInvalid
from imagejobs.limits import MAX_PAGE_IMAGES
from imagejobs.settings import required
from imagejobs.usage import Allowance

_PAGE_TOKEN = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_PAGE_LIMIT = re.compile(r"[0-9]{1,4}")


def answer(http_status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response[str]:
    """JSON that no cache keeps."""
    return Response(
        status_code=http_status,
        content_type=content_types.APPLICATION_JSON,
        body=json.dumps(content),
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


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


def page_limit(event: APIGatewayProxyEvent) -> int:
    """Images a page: `limit=<1 to 500>`.

    Raises:
        RequestInvalid: It is not such a number.
    """
    text = event.get_query_string_value("limit", "100")
    if _PAGE_LIMIT.fullmatch(text) and 1 <= int(text) <= MAX_PAGE_IMAGES:
        return int(text)
    raise RequestInvalid(f"The parameter `limit` is a whole number from 1 to {MAX_PAGE_IMAGES}.")

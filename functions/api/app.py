"""api: takes uploads and answers for jobs, one function a route."""

import base64
import json
import re
from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.bucket import Bucket
from imagejobs.database import Database
from imagejobs.errors import RequestError, RequestInvalid, UrlRefused
from imagejobs.settings import allowed_origins, required
from imagejobs.steps import api
from imagejobs.upload_form import parse_upload_form

logger = Logger()
app = APIGatewayRestResolver()

_PAGE_TOKEN = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_PAGE_LIMIT = re.compile(r"[0-9]{1,4}")


@cache
def database() -> Database:
    """The environment's database."""
    return Database.from_environment()


@cache
def bucket() -> Bucket:
    """The environment's bucket."""
    return Bucket.from_environment()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway's Lambda proxy integration."""
    return app.resolve(event, context)


@app.post("/upload")
def upload() -> Response[str]:
    """Take a CSV; 202 with its request_id."""
    form = parse_upload_form(app.current_event.headers.get("content-type"), body())
    request_id = api.accept_upload(database(), bucket(), owner=owner(), form=form, origins=allowed_origins())
    logger.info("job_accepted", request_id=str(request_id), owner=owner(), bytes=len(form.file))
    location = f"{base_url()}/job/status/{request_id}"
    return answer(HTTPStatus.ACCEPTED, {"request_id": str(request_id)}, {"Location": location})


@app.get("/job/status/<request_id>")
def status(request_id: str) -> Response[str]:
    """How far a job is."""
    job_id = api.parse_request_id(request_id)
    return answer(HTTPStatus.OK, api.job_status(database(), owner=owner(), request_id=job_id, base_url=base_url()))


@app.get("/job/<request_id>/result")
def result(request_id: str) -> Response[str]:
    """Redirect to the finished CSV."""
    link = api.result_link(database(), bucket(), owner=owner(), request_id=api.parse_request_id(request_id))
    return answer(HTTPStatus.SEE_OTHER, {"url": link}, {"Location": link})


@app.get("/job/<request_id>/images")
def images(request_id: str) -> Response[str]:
    """One page of a job's images."""
    job_id = api.parse_request_id(request_id)
    page = api.list_images(database(), owner=owner(), request_id=job_id, after=page_start(), limit=page_limit())
    return answer(HTTPStatus.OK, page)


@app.not_found
def no_route(_error: Exception) -> Response[str]:
    """Answer for a path that is not in the API."""
    return answer(HTTPStatus.NOT_FOUND, {"code": "route_not_found", "message": "There is no such path in this API."})


@app.exception_handler([RequestError, UrlRefused])  # type: ignore[untyped-decorator]
def refuse(error: RequestError | UrlRefused) -> Response[str]:
    """What the caller must change, as every error of the API: `code` and `message`."""
    http_status = error.http_status if isinstance(error, RequestError) else HTTPStatus.BAD_REQUEST
    logger.info("request_refused", code=error.code, http_status=http_status)
    return answer(http_status, {"code": error.code, "message": error.message})


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def fail(_error: Exception) -> Response[str]:
    """Answer for what is our fault; the log has the reason."""
    logger.exception("request_failed")
    message = "Something went wrong on our side; nothing was started. Try again in a moment."
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"code": "internal_error", "message": message})


def answer(http_status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> Response[str]:
    """JSON that no cache keeps."""
    return Response(
        status_code=http_status,
        content_type=content_types.APPLICATION_JSON,
        body=json.dumps(content),
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def owner() -> str:
    """The caller's name, as the authorizer found it."""
    return str(app.current_event.request_context.authorizer["owner"])


def body() -> bytes:
    """The request's body; API Gateway encodes multipart bodies as base64."""
    text = app.current_event.body or ""
    return base64.b64decode(text) if app.current_event.is_base64_encoded else text.encode()


def base_url() -> str:
    """The API's public URL: the one that the operator names, else API Gateway's own."""
    context = app.current_event.request_context
    return required("API_BASE_URL") or f"https://{context.domain_name}/{context.stage}"


def page_start() -> tuple[int, int]:
    """Where a page of images begins: `after=<row>-<position>`, as `next` of the page before says."""
    token = app.current_event.get_query_string_value("after", "0-0")
    if match := _PAGE_TOKEN.fullmatch(token):
        return int(match[1]), int(match[2])
    raise RequestInvalid("The parameter `after` is not what `next` of the page before said.")


def page_limit() -> int:
    """Images a page: `limit=<1 to 500>`."""
    text = app.current_event.get_query_string_value("limit", "100")
    if _PAGE_LIMIT.fullmatch(text) and 1 <= int(text) <= api.MAX_PAGE_IMAGES:
        return int(text)
    raise RequestInvalid(f"The parameter `limit` is a whole number from 1 to {api.MAX_PAGE_IMAGES}.")

"""api: takes uploads and answers for jobs, one function a route."""

from dataclasses import replace
from functools import cache
from http import HTTPStatus
from typing import Any
from uuid import UUID

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs import web_page
from imagejobs.bucket import Bucket
from imagejobs.database import Database
from imagejobs.destination_settings import destinations
from imagejobs.errors import LimitExceeded, RequestError, SheetError, UrlRefused
from imagejobs.executions import Finalizer
from imagejobs.http import (
    allowance,
    answer,
    base_url,
    body,
    event_start,
    openapi_yaml,
    owner,
    page_limit,
    page_start,
    redirect,
    status_filter,
)
from imagejobs.jobs import IMAGE_STATUSES, JOB_STATUSES
from imagejobs.limits import MAX_PAGE_IMAGES, MAX_PAGE_JOBS
from imagejobs.metrics import Metric, emit
from imagejobs.queues import Queue
from imagejobs.steps import api, look
from imagejobs.steps.control import Control
from imagejobs.upload_form import UploadForm, parse_fields, parse_upload_form
from imagejobs.usage import count_request

logger = Logger()
app = APIGatewayRestResolver()

ANONYMOUS = frozenset({"/", "/web/{version}/{file}", "/health", "/openapi.yaml"})


@cache
def database() -> Database:
    """The environment's database."""
    return Database.from_environment()


@cache
def bucket() -> Bucket:
    """The environment's bucket."""
    return Bucket.from_environment()


@cache
def control() -> Control:
    """The environment's control of jobs that are there already."""
    return Control(database(), Queue.from_environment("UPLOAD_QUEUE_URL"), Finalizer.from_environment())


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway's Lambda proxy integration."""
    logger.remove_keys(["request_id"])
    return app.resolve(event, context)


def job_of(request_id: str) -> UUID:
    """The job that the path names; from here on the log names it too."""
    found = api.parse_request_id(request_id)
    logger.append_keys(request_id=found)
    return found


def limit_rate(resolver: APIGatewayRestResolver, next_middleware: NextMiddleware) -> Response[str]:
    """Count the request first, but for those that anybody may send."""
    if resolver.current_event.resource not in ANONYMOUS:
        count_request(database(), allowance(resolver.current_event))
    return next_middleware(resolver)


app.use(middlewares=[limit_rate])


@app.get("/")
def page() -> Response[str]:
    """The page for people."""
    return web_page.page(app.current_event)


@app.get("/web/<version>/<file>")
def web_file(version: str, file: str) -> Response[str]:
    """A style, module or picture of the page."""
    return web_page.file(version, file) or no_route()


@app.get("/health")
def health() -> Response[str]:
    """Whether the API answers at all."""
    return answer(HTTPStatus.OK, {"status": "ok"})


@app.get("/openapi.yaml")
def description() -> Response[str]:
    """The API's own description."""
    return Response(HTTPStatus.OK, "application/yaml", openapi_yaml())


@app.post("/upload")
def upload() -> Response[str]:
    """Take a CSV; 202 with its request_id."""
    event = app.current_event
    return accepted(parse_upload_form(event.headers.get("content-type"), body(event)))


@app.post("/preflight")
def preflight() -> Response[str]:
    """Take a CSV whose images are only looked at, as an upload with `dry_run=true`; 202 with its request_id."""
    event = app.current_event
    form = parse_upload_form(event.headers.get("content-type"), body(event))
    return accepted(replace(form, fields={**form.fields, "dry_run": "true"}))


def accepted(form: UploadForm) -> Response[str]:
    """The answer to an upload that is taken."""
    event = app.current_event
    request_id = api.accept_upload(
        database(),
        bucket(),
        allowance=allowance(event),
        form=form,
        destinations=destinations(),
        idempotency_key=event.headers.get("idempotency-key"),
    )
    logger.info("job_accepted", request_id=str(request_id), owner=owner(event), bytes=len(form.file))
    location = f"{base_url(event)}/job/status/{request_id}"
    return answer(HTTPStatus.ACCEPTED, {"request_id": str(request_id)}, {"Location": location})


@app.post("/uploads")
def uploads() -> Response[str]:
    """Take a CSV that goes to S3 by itself; 201 with the form that it is sent by."""
    event = app.current_event
    opened = api.open_upload(
        database(),
        bucket(),
        allowance=allowance(event),
        fields=parse_fields(event.headers.get("content-type"), body(event)),
        destinations=destinations(),
        idempotency_key=event.headers.get("idempotency-key"),
    )
    logger.info("upload_opened", request_id=opened["request_id"], owner=owner(event))
    return answer(HTTPStatus.CREATED, opened, {"Location": f"{base_url(event)}/job/status/{opened['request_id']}"})


@app.get("/jobs")
def jobs() -> Response[str]:
    """One page of the caller's jobs, newest first."""
    event = app.current_event
    status = status_filter(event, JOB_STATUSES)
    page = look.list_jobs(
        database(),
        owner=owner(event),
        statuses=[status] if status else JOB_STATUSES,
        after=event.get_query_string_value("after"),
        limit=page_limit(event, default=50, maximum=MAX_PAGE_JOBS),
        base_url=base_url(event),
    )
    return answer(HTTPStatus.OK, page)


@app.get("/job/status/<request_id>")
def status(request_id: str) -> Response[str]:
    """How far a job is."""
    event, job_id = app.current_event, job_of(request_id)
    job = look.job_status(database(), owner=owner(event), request_id=job_id, base_url=base_url(event))
    return answer(HTTPStatus.OK, job)


@app.get("/job/<request_id>/result")
def result(request_id: str) -> Response[str]:
    """Redirect to the finished CSV."""
    event, job_id = app.current_event, job_of(request_id)
    link = look.result_link(database(), bucket(), owner=owner(event), request_id=job_id)
    return redirect(event, link, "text/csv")


@app.get("/job/<request_id>/images")
def images(request_id: str) -> Response[str]:
    """One page of a job's images."""
    event, job_id = app.current_event, job_of(request_id)
    page = look.list_images(
        database(),
        owner=owner(event),
        request_id=job_id,
        status=status_filter(event, IMAGE_STATUSES),
        after=page_start(event),
        limit=page_limit(event, default=100, maximum=MAX_PAGE_IMAGES),
    )
    return answer(HTTPStatus.OK, page)


@app.get("/job/<request_id>/events")
def events(request_id: str) -> Response[str]:
    """The images that became terminal since the caller last asked."""
    event, job_id = app.current_event, job_of(request_id)
    page = look.list_events(
        database(),
        owner=owner(event),
        request_id=job_id,
        after=event_start(event),
        limit=page_limit(event, default=100, maximum=MAX_PAGE_IMAGES),
        base_url=base_url(event),
    )
    return answer(HTTPStatus.OK, page)


@app.get("/job/<request_id>/deliveries")
def deliveries(request_id: str) -> Response[str]:
    """The attempts at a job's webhooks."""
    job_id = job_of(request_id)
    attempts = look.list_deliveries(database(), owner=owner(app.current_event), request_id=job_id)
    return answer(HTTPStatus.OK, attempts)


@app.post("/job/<request_id>/retry")
def retry(request_id: str) -> Response[str]:
    """Do a job's failed images again."""
    job_id = job_of(request_id)
    caller = allowance(app.current_event)
    generation = control().retry(caller.owner, job_id, caller.daily_images)
    logger.info("job_retried", generation=generation)
    return answer(HTTPStatus.ACCEPTED, {"request_id": str(job_id), "generation": generation})


@app.post("/job/<request_id>/cancel")
def cancel(request_id: str) -> Response[str]:
    """Begin no more images of a job."""
    job_id = job_of(request_id)
    control().cancel(owner(app.current_event), job_id)
    logger.info("job_cancelled")
    return answer(HTTPStatus.ACCEPTED, {"request_id": str(job_id)})


@app.post("/job/<request_id>/redeliver")
def redeliver(request_id: str) -> Response[str]:
    """Send a job's webhook again."""
    job_id = job_of(request_id)
    event_id = control().redeliver(owner(app.current_event), job_id)
    logger.info("webhook_redelivered", event_id=event_id)
    return answer(HTTPStatus.ACCEPTED, {"request_id": str(job_id), "event_id": event_id})


@app.not_found
def no_route(_error: Exception | None = None) -> Response[str]:
    """Answer for a path that is not in the API."""
    return answer(HTTPStatus.NOT_FOUND, {"code": "route_not_found", "message": "There is no such path in this API."})


@app.exception_handler([RequestError, UrlRefused])  # type: ignore[untyped-decorator]
def refuse(error: RequestError | UrlRefused) -> Response[str]:
    """What the caller must change, as every error of the API: `code` and `message`."""
    http_status = error.http_status if isinstance(error, RequestError) else HTTPStatus.BAD_REQUEST
    logger.info("request_refused", code=error.code, http_status=http_status)
    if isinstance(error, SheetError):
        emit({Metric.SHEETS_REFUSED: 1})
    patience = {"Retry-After": str(error.retry_after_seconds)} if isinstance(error, LimitExceeded) else None
    return answer(http_status, {"code": error.code, "message": error.message}, patience)


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def fail(_error: Exception) -> Response[str]:
    """Answer for what is our fault; the log has the reason."""
    logger.exception("request_failed")
    message = "Something went wrong on our side. Try again in a moment, an upload with the same Idempotency-Key."
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"code": "internal_error", "message": message})

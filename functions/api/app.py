"""api: takes uploads and answers for jobs, one function a route."""

import json
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
from imagejobs.answers import (
    Deliveries,
    Error,
    Health,
    ImageEvents,
    ImagePage,
    Job,
    JobAccepted,
    JobCancelled,
    JobPage,
    JobRetried,
    Link,
    OpenApi,
    UploadOpened,
    WebhookRedelivered,
)
from imagejobs.bucket import Bucket
from imagejobs.database import Database
from imagejobs.destination_settings import destinations
from imagejobs.errors import (
    ImageJobsError,
    LimitExceeded,
    ReportNotReady,
    RequestError,
    SheetError,
    UploadInvalid,
    UrlRefused,
)
from imagejobs.executions import Finalizer
from imagejobs.http import (
    EVENTS_AFTER,
    IDEMPOTENCY_KEY,
    IMAGES_AFTER,
    IMAGES_LIMIT,
    IMAGES_STATUS,
    JOBS_AFTER,
    JOBS_LIMIT,
    JOBS_STATUS,
    Accepted,
    Created,
    Ok,
    Page,
    SeeOther,
    allowance,
    base_url,
    body,
    file_of_layer,
    owner,
    redirect,
    refusal,
)
from imagejobs.jobs import JOB_STATUSES
from imagejobs.metrics import Metric, emit
from imagejobs.queues import Queue
from imagejobs.steps import api, look
from imagejobs.steps.control import Control
from imagejobs.steps.correct import Corrector
from imagejobs.upload_form import UploadForm, parse_fields, parse_upload_form
from imagejobs.usage import count_request

logger = Logger()
app = APIGatewayRestResolver()

ANONYMOUS = frozenset({"/", "/web/{version}/{file}", "/health", "/openapi.json", "/docs"})
# The parts of the API's description, in its order.
UPLOAD, JOBS, CONTROL, SERVICE = "Upload", "Follow a job", "Change a job", "The API itself"


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


@cache
def corrector() -> Corrector:
    """The environment's merging of corrections."""
    return Corrector(database(), bucket(), control().ring)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway's Lambda proxy integration."""
    logger.remove_keys(["request_id"])
    return app.resolve(event, context)


def job_of(request_id: str) -> UUID:
    """The job that the path names; from here on the log names it too."""
    found = api.parse_request_id(request_id)
    logger.append_keys(request_id=found)
    return found


def status_url(request_id: UUID | str) -> str:
    """Where a job's status is."""
    return f"{base_url(app.current_event)}/job/status/{request_id}"


def limit_rate(resolver: APIGatewayRestResolver, next_middleware: NextMiddleware) -> Response[Any]:
    """Count the request first, but for those that anybody may send."""
    if resolver.current_event.resource not in ANONYMOUS:
        count_request(database(), allowance(resolver.current_event))
    return next_middleware(resolver)


app.use(middlewares=[limit_rate])


@app.get("/", include_in_schema=False)
def page() -> Response[str]:
    """The page for people."""
    return web_page.page(app.current_event, bucket().form_origin())


@app.get("/web/<version>/<file>", include_in_schema=False)
def web_file(version: str, file: str) -> Response[Any]:
    """A style, module or picture of the page."""
    return web_page.file(version, file) or no_route()


@app.get("/health", tags=[SERVICE])
def health() -> Ok[Health]:
    """Whether the API answers."""
    return Ok({"status": "ok"})


@app.get("/openapi.json", tags=[SERVICE])
def description() -> Ok[OpenApi]:
    """What the API says of itself, for programs: OpenAPI 3.1."""
    return Ok(json.loads(file_of_layer("openapi.json")))


@app.get("/docs", tags=[SERVICE])
def docs() -> Page:
    """What the API says of itself, for people."""
    return Page(file_of_layer("docs.html"))


@app.post("/upload", tags=[UPLOAD])
def upload() -> Accepted[JobAccepted]:
    """Take a CSV and compress the images that it names.

    The CSV is checked as a whole before anything is begun: one that cannot be read is refused with the line in which it
    goes wrong. What happens then is told by the job's status, and by one signed webhook at its end.

    Raises:
        UploadInvalid, OptionInvalid, UrlRefused, SheetError: The form, or the CSV in it, must change.
        SheetTooLarge: The CSV has too many bytes or rows.
        IdempotencyKeyReused: The key belongs to another upload.
        QuotaExceeded: The CSV names more images than are left of the day.
    """
    event = app.current_event
    return accepted(parse_upload_form(event.headers.get("content-type"), body(event)), IDEMPOTENCY_KEY.of(event))


@app.post("/preflight", tags=[UPLOAD])
def preflight() -> Accepted[JobAccepted]:
    """Take a CSV and look at the images that it names, without compressing any.

    The same as an upload with `dry_run` `true`. What is found is the job's `preflight` when it has ended and, row by
    row, its finished CSV: dead links, answers that are no images, sizes, repeated URLs, and what a real run would come
    to. Images that are looked at have a day's quota of their own.

    Raises:
        UploadInvalid, OptionInvalid, UrlRefused, SheetError: The form, or the CSV in it, must change.
        SheetTooLarge: The CSV has too many bytes or rows.
        IdempotencyKeyReused: The key belongs to another upload.
        QuotaExceeded: The CSV names more images than are left of the day.
    """
    event = app.current_event
    form = parse_upload_form(event.headers.get("content-type"), body(event))
    return accepted(replace(form, fields={**form.fields, "dry_run": "true"}), IDEMPOTENCY_KEY.of(event))


def accepted(form: UploadForm, idempotency_key: str | None) -> Accepted[JobAccepted]:
    """The answer to an upload that is taken."""
    event = app.current_event
    request_id = api.accept_upload(
        database(),
        bucket(),
        allowance=allowance(event),
        form=form,
        destinations=destinations(),
        idempotency_key=idempotency_key,
    )
    logger.info("job_accepted", request_id=str(request_id), owner=owner(event), bytes=len(form.file))
    return Accepted({"request_id": str(request_id)}, status_url(request_id))


@app.post("/uploads", tags=[UPLOAD])
def uploads() -> Created[UploadOpened]:
    """Take a CSV of up to 256 MB, which is sent to S3 by itself.

    Answers a form that takes one file for an hour: POST it to `url` as multipart/form-data, with all of `fields` first
    and the CSV last, as `file`. What arrives first is the job; what follows changes nothing. The CSV is read only then:
    one that cannot be read, or names more images than are left of the day, ends the job as FAILED with the reason. A
    job whose CSV has not arrived two hours after its last form was given out ends as FAILED, too.

    Raises:
        UploadInvalid, OptionInvalid, UrlRefused: A field must change.
        IdempotencyKeyReused: The key belongs to another upload.
        JobEnded: The key's job has ended before its CSV came.
    """
    event = app.current_event
    opened = api.open_upload(
        database(),
        bucket(),
        allowance=allowance(event),
        fields=parse_fields(event.headers.get("content-type"), body(event)),
        destinations=destinations(),
        idempotency_key=IDEMPOTENCY_KEY.of(event),
    )
    logger.info("upload_opened", request_id=opened["request_id"], owner=owner(event))
    return Created(opened, status_url(opened["request_id"]))


@app.get("/jobs", tags=[JOBS])
def jobs() -> Ok[JobPage]:
    """The caller's jobs, newest first, paged."""
    event = app.current_event
    status = JOBS_STATUS.of(event)
    page = look.list_jobs(
        database(),
        owner=owner(event),
        statuses=[status] if status else JOB_STATUSES,
        after=JOBS_AFTER.of(event),
        limit=JOBS_LIMIT.of(event),
        base_url=base_url(event),
    )
    return Ok(page)


@app.get("/job/status/<request_id>", tags=[JOBS])
def status(request_id: str) -> Ok[Job]:
    """How far a job is."""
    event, job_id = app.current_event, job_of(request_id)
    return Ok(look.job_status(database(), owner=owner(event), request_id=job_id, base_url=base_url(event)))


@app.get("/job/<request_id>/result", tags=[JOBS])
def result(request_id: str) -> SeeOther | Ok[Link]:
    """The finished CSV.

    A redirect; a client whose header `Accept` wants `application/json` more than `text/csv` gets 200 and the URL as
    JSON instead, as a page does that cannot keep its token from being sent along.

    Raises:
        ResultNotReady: There is none, or not yet.
    """
    event, job_id = app.current_event, job_of(request_id)
    link = look.result_link(database(), bucket(), owner=owner(event), request_id=job_id)
    return redirect(event, link, "text/csv")


@app.get("/job/<request_id>/failures.csv", tags=[JOBS])
def failures(request_id: str) -> SeeOther | Ok[Link]:
    """The rows that failed, as a CSV to be corrected.

    The caller's own rows in its own columns, and `Row` and `Error` beside them. Corrected, it is sent to
    `POST /job/{request_id}/retry`. A redirect, or the URL as JSON, as the finished CSV.

    Raises:
        NoFailures: None of the rows failed, or the job has not ended yet.
    """
    event, job_id = app.current_event, job_of(request_id)
    link = look.failures_link(database(), bucket(), owner=owner(event), request_id=job_id)
    return redirect(event, link, "text/csv")


@app.get("/job/<request_id>/report.html", tags=[JOBS])
def report(request_id: str) -> SeeOther | Ok[Link]:
    """A report on an ended job, one page to read and to forward.

    Totals, pictures before and after, failures by reason, nearly the same pictures and low resolution, as HTML that
    stands alone. It is written in the seconds after the job has ended, anew for each generation. A redirect; a client
    whose header `Accept` wants `application/json` more than `text/html` gets 200 and the URL as JSON instead.

    Raises:
        NoReport: It was a dry run.
        ReportNotReady: There is none yet.
    """
    event, job_id = app.current_event, job_of(request_id)
    link = look.report_link(database(), bucket(), owner=owner(event), request_id=job_id)
    return redirect(event, link, "text/html")


@app.get("/job/<request_id>/images", tags=[JOBS])
def images(request_id: str) -> Ok[ImagePage]:
    """The images of a job, in the sheet's order, paged."""
    event, job_id = app.current_event, job_of(request_id)
    page = look.list_images(
        database(),
        owner=owner(event),
        request_id=job_id,
        status=IMAGES_STATUS.of(event),
        after=IMAGES_AFTER.of(event) or (0, 0),
        limit=IMAGES_LIMIT.of(event),
    )
    return Ok(page)


@app.get("/job/<request_id>/events", tags=[JOBS])
def events(request_id: str) -> Ok[ImageEvents]:
    """The images that became COMPLETED or FAILED since the last call, in that order.

    For using results before the job ends. Ask again with `next` as `after`, as often as you like: no image is ever
    passed over. An image is shown as it is now, so that one that a retry is doing again may be PENDING; it comes once
    more when it is done. When the job has ended and `images` is empty, there is nothing more.
    """
    event, job_id = app.current_event, job_of(request_id)
    page = look.list_events(
        database(),
        owner=owner(event),
        request_id=job_id,
        after=EVENTS_AFTER.of(event),
        limit=IMAGES_LIMIT.of(event),
        base_url=base_url(event),
    )
    return Ok(page)


@app.get("/job/<request_id>/deliveries", tags=[JOBS])
def deliveries(request_id: str) -> Ok[Deliveries]:
    """The attempts at a job's webhooks, newest first.

    The newest hundred. `POST /job/{request_id}/redeliver` begins new ones.
    """
    job_id = job_of(request_id)
    return Ok(look.list_deliveries(database(), owner=owner(app.current_event), request_id=job_id))


@app.post("/job/<request_id>/retry", tags=[CONTROL])
def retry(request_id: str) -> Accepted[JobRetried]:
    """Do the failed images of an ended job again, and those of corrected rows.

    Begins the job's next generation: it is PROCESSING again, its percentage counts the images that are done again, and
    at its end come a finished CSV and a webhook of their own. Images that were completed keep their URLs. Repeating the
    call while that generation is at work begins no other.

    With a body, the job's failures.csv whose cells were corrected, its rows are merged into the job: images whose URL
    stays in its place are kept, changed ones are done, those taken out go, and the finished CSV shows the corrected
    cells. Rows that are left out stay as they are. Sending the same file again is harmless.

    Raises:
        JobNotEnded: It is still at work.
        NothingToRetry: No image failed, or the sheet was never read.
        UploadInvalid, SheetError: The corrected file must change, in the line that is named.
        SheetTooLarge: All corrections of a job together have too many bytes.
        QuotaExceeded: More images are to be done than are left of the day.
    """
    event, job_id = app.current_event, job_of(request_id)
    caller, corrections = allowance(event), body(event)
    if corrections:
        form = parse_upload_form(event.headers.get("content-type"), corrections)
        if form.fields:
            raise UploadInvalid('Corrections are sent as the part "file" alone; the job keeps its options.')
        generation = corrector().correct(caller.owner, job_id, caller.daily_images, form.file)
    else:
        generation = control().retry(caller.owner, job_id, caller.daily_images)
    logger.info("job_retried", generation=generation)
    return Accepted({"request_id": str(job_id), "generation": generation}, status_url(job_id))


@app.post("/job/<request_id>/cancel", tags=[CONTROL])
def cancel(request_id: str) -> Accepted[JobCancelled]:
    """Begin no more images of a job.

    Images that are done are kept, those at work may end, all others fail with the code `cancelled`. The job ends FAILED
    with the error message "cancelled", its finished CSV and its webhook. It can be retried then. May be repeated.

    Raises:
        JobEnded: All of its work is done.
    """
    job_id = job_of(request_id)
    control().cancel(owner(app.current_event), job_id)
    logger.info("job_cancelled")
    return Accepted({"request_id": str(job_id)}, status_url(job_id))


@app.post("/job/<request_id>/redeliver", tags=[CONTROL])
def redeliver(request_id: str) -> Accepted[WebhookRedelivered]:
    """Send the webhook of an ended job again.

    The same event with the same `webhook-id`, at once, and by the whole schedule of attempts until it is accepted.

    Raises:
        JobNotEnded: There is nothing to tell yet.
        NoWebhook: The job has no webhook.
    """
    job_id = job_of(request_id)
    event_id = control().redeliver(owner(app.current_event), job_id)
    logger.info("webhook_redelivered", event_id=event_id)
    return Accepted({"request_id": str(job_id), "event_id": event_id}, status_url(job_id))


@app.not_found
def no_route(_error: Exception | None = None) -> Response[Error]:
    """Answer for a path that is not in the API."""
    return refusal(HTTPStatus.NOT_FOUND, "route_not_found", "There is no such path in this API.")


@app.exception_handler([RequestError, UrlRefused])  # type: ignore[untyped-decorator]
def refuse(error: RequestError | UrlRefused) -> Response[Error]:
    """What the caller must change, as every error of the API: `code` and `message`."""
    http_status = error.http_status if isinstance(error, RequestError) else HTTPStatus.BAD_REQUEST
    logger.info("request_refused", code=error.code, http_status=http_status)
    if isinstance(error, SheetError):
        emit({Metric.SHEETS_REFUSED: 1})
    patience = None
    if isinstance(error, LimitExceeded | ReportNotReady):
        patience = {"Retry-After": str(error.retry_after_seconds)}
    return refusal(http_status, error.code, error.message, patience)


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def fail(_error: Exception) -> Response[Error]:
    """Answer for what is our fault; the log has the reason."""
    logger.exception("request_failed")
    message = "Something went wrong on our side. Try again in a moment, an upload with the same Idempotency-Key."
    return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, ImageJobsError.code, message)

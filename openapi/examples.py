"""Examples of requests and answers. Tests send every request, and hold every answer to its schema."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagejobs import answers, errors

REQUEST_ID = "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10"
API = "https://abcdef1234.execute-api.us-east-1.amazonaws.com/dev"
IMAGES = f"https://d111111abcdef8.cloudfront.net/images/{REQUEST_ID}"
RESULT = "https://imagejobs-dev.s3.amazonaws.com/results/3f0c9e5e.csv?X-Amz-Expires=3600&X-Amz-Signature=5d2c…"

CSV = """\
S. No.,Product Name,Input Image Urls
1,Vase,"https://shop.example/vase-front.jpg,https://shop.example/vase-side.jpg"
2,Lamp,https://shop.example/lamp.png
"""

CORRECTED = """\
S. No.,Product Name,Input Image Urls,Row
2,Lamp,https://shop.example/desk-lamp.png,2
"""

TOTALS = {
    "rows": 2,
    "rows_failed": 0,
    "images": 3,
    "images_completed": 2,
    "images_failed": 1,
    "images_unchanged": 0,
    "images_reused": 0,
    "bytes_before": 912345,
    "bytes_after": 401234,
}
JOB = {
    "request_id": REQUEST_ID,
    "status": "COMPLETED",
    "created_at": "2026-03-02T09:15:04.120Z",
    "updated_at": "2026-03-02T09:15:09.871Z",
    "completion_percentage": 100,
    "error_message": None,
    "generation": 1,
    **TOTALS,
    "sheet": {
        "columns": {"id": "S. No.", "name": "Product Name", "urls": ["Input Image Urls"]},
        "column_separator": "comma",
        "url_separators": [","],
    },
    "dry_run": False,
    "preflight": None,
    "result_url": f"{API}/job/{REQUEST_ID}/result",
    "failures_url": f"{API}/job/{REQUEST_ID}/failures.csv",
    "report_url": f"{API}/job/{REQUEST_ID}/report.html",
}
LOOKED_AT = {
    **JOB,
    "bytes_after": 0,
    "dry_run": True,
    "preflight": {
        "rows": 2,
        "images": 3,
        "images_failed_by_code": {"origin_refused": 1},
        "images_reused": 0,
        "duplicates": 0,
        "warnings": {"small": 0, "large": 0},
        "bytes_before": 912345,
        "formats": {"jpeg": {"images": 2, "bytes": 912345}},
        "estimate": {"bytes_after": 336000, "seconds": 4, "usd": 0.0003},
    },
}
IMAGE = {
    "image_id": "0b9c1e0a-52a4-4c5e-8d60-9a3f3c1a7b21",
    "row_number": 1,
    "position": 1,
    "serial_number": "1",
    "product_name": "Vase",
    "source_url": "https://shop.example/vase-front.jpg",
    "image_url": f"{IMAGES}/1-1-9f86d081884c7d65.webp",
    "status": "COMPLETED",
    "error_code": None,
    "error_message": None,
    "format": "webp",
    "outcome": "converted",
    "width": 1600,
    "height": 1200,
    "bytes_before": 512345,
    "bytes_after": 221234,
    "encoder": "webp",
    "encoder_quality": 79,
    "cpu_ms": 164,
    "score": None,
    "content": None,
    "reused": None,
    "human_url": None,
    "same_as_row_number": None,
    "same_as_position": None,
}
FAILED_IMAGE = {
    **dict.fromkeys(IMAGE),
    "image_id": "5c0d6a44-0a3b-4a4f-9a3e-1f1f6f0a2c11",
    "row_number": 2,
    "position": 1,
    "serial_number": "2",
    "product_name": "Lamp",
    "source_url": "https://shop.example/lamp.png",
    "status": "FAILED",
    "error_code": "origin_refused",
    "error_message": "The origin answered 404 for https://shop.example/lamp.png; check that the image is there.",
}


@dataclass(frozen=True, slots=True)
class Example:
    """A request.

    Attributes:
        summary: What it does.
        fields: Its body, by field.
        headers: Beside the token's.
    """

    summary: str
    fields: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


REQUESTS: Mapping[str, Mapping[str, Example]] = {
    "upload": {
        "plain": Example(
            "With a webhook, and a key under which it may be repeated",
            {"file": CSV, "webhook_url": "https://shop.example/hooks/images"},
            {"Idempotency-Key": "spring-catalogue-2026"},
        ),
        "options": Example(
            "Every picture at most 1,600 pixels wide, in the smallest format that browsers show",
            {"file": CSV, "format": "auto", "max_width": 1600, "quality": 75},
        ),
    },
    "preflight": {
        "example": Example("What would become of it with other options", {"file": CSV, "format": "auto"}),
    },
    "retry": {
        "corrected": Example("With the corrected rows of failures.csv", {"file": CORRECTED}),
    },
    "uploads": {
        "example": Example(
            "With a webhook", {"webhook_url": "https://shop.example/hooks/images", "format": "auto", "reuse": False}
        ),
    },
}
"""Of operations with a body, by the name of the handler and of the example."""

ANSWERS: Mapping[type, Mapping[str, Any]] = {
    answers.Health: {"example": {"status": "ok"}},
    answers.OpenApi: {
        "example": {"openapi": "3.1.0", "info": {"title": "Image Processing API", "version": "1.0"}, "paths": {}}
    },
    answers.JobAccepted: {"example": {"request_id": REQUEST_ID}},
    answers.UploadOpened: {
        "example": {
            "request_id": REQUEST_ID,
            "url": "https://imagejobs-dev.s3.amazonaws.com/",
            "fields": {
                "key": f"uploads/{REQUEST_ID}.csv",
                "policy": "eyJleHBpcmF0aW9uIjogIjIwMjYtMDMtMDJUMTA6MTU6MDRaIiwg…",
                "x-amz-signature": "5d2c8f…",
            },
            "expires_at": "2026-03-02T10:15:04.120Z",
        }
    },
    answers.Job: {
        "ended": JOB,
        "looked at": LOOKED_AT,
        "working": {
            **JOB,
            "status": "PROCESSING",
            "updated_at": "2026-03-02T09:15:06.334Z",
            "completion_percentage": 33,
            "images_completed": 1,
            "images_failed": 0,
            "bytes_before": 512345,
            "bytes_after": 221234,
            "result_url": None,
            "failures_url": None,
            "report_url": None,
        },
    },
    answers.JobPage: {"example": {"jobs": [JOB], "next": f"1772442904120331_{REQUEST_ID}"}},
    answers.Deliveries: {
        "example": {
            "webhook_url": "https://shop.example/hooks/images",
            "deliveries": [
                {
                    "event_id": f"evt_{REQUEST_ID}-1",
                    "attempt": 2,
                    "attempted_at": "2026-03-02T09:15:17.402Z",
                    "status_code": 204,
                    "error_message": None,
                    "outcome": "delivered",
                },
                {
                    "event_id": f"evt_{REQUEST_ID}-1",
                    "attempt": 1,
                    "attempted_at": "2026-03-02T09:15:11.930Z",
                    "status_code": 503,
                    "error_message": None,
                    "outcome": "retry",
                },
            ],
        }
    },
    answers.Link: {"example": {"url": RESULT}},
    answers.ImagePage: {"example": {"images": [IMAGE, FAILED_IMAGE], "next": None}},
    answers.ImageEvents: {"example": {"images": [IMAGE, FAILED_IMAGE], "next": "2", "job": JOB}},
    answers.JobRetried: {"example": {"request_id": REQUEST_ID, "generation": 2}},
    answers.JobCancelled: {"example": {"request_id": REQUEST_ID}},
    answers.WebhookRedelivered: {"example": {"request_id": REQUEST_ID, "event_id": f"evt_{REQUEST_ID}-1"}},
    answers.JobEnded: {
        "example": {
            "request_id": REQUEST_ID,
            "status": "COMPLETED",
            "message": "CSV and image processing completed; 1 of 3 images failed, see the finished CSV.",
            "generation": 1,
            **TOTALS,
            "dry_run": False,
            "preflight": None,
            "result_url": f"{API}/job/{REQUEST_ID}/result",
            "failures_url": f"{API}/job/{REQUEST_ID}/failures.csv",
        }
    },
}
"""By the type of the answer and the name of the example."""

REFUSALS: Mapping[type[errors.ImageJobsError], str] = {
    errors.UploadInvalid: (
        'The form lacks the part "file" with the CSV; the fields are "csv". Send it like this: '
        "curl -F file=@products.csv"
    ),
    errors.OptionInvalid: "Option 'quality' is '101'; a whole number from 1 to 100 is allowed.",
    errors.RequestIdInvalid: "The request_id in the path is not a UUID such as POST /upload returns.",
    errors.JobNotFound: f"There is no job {REQUEST_ID}.",
    errors.ResultNotReady: ("The job is PROCESSING and has no finished CSV yet. Ask again when it has ended."),
    errors.NoReport: "A dry run has no report; what it found is in its status and its finished CSV.",
    errors.ReportNotReady: "The report on this job is being written. Ask again in a moment.",
    errors.JobNotEnded: "The job is PROCESSING; retry it when it has ended.",
    errors.JobEnded: "All of the job's work is done; there is nothing left to cancel.",
    errors.NothingToRetry: ("None of the job's images failed; see the finished CSV for rows that name no image."),
    errors.NoFailures: "The job is COMPLETED and has no CSV of rows that failed.",
    errors.NoWebhook: "The job was uploaded without a webhook_url.",
    errors.IdempotencyKeyReused: ("This Idempotency-Key came with another file or other fields before; use a new one."),
    errors.QuotaExceeded: (
        "These 900 images are more than is left of the day's 10,000. Send them after midnight (UTC), or ask the "
        "operator for more."
    ),
    errors.RateExceeded: "More than 600 requests in a minute. Try again in a moment.",
    errors.SheetError: (
        'The serial number "7" stands on line 8 and again on line 12. Give every row a serial number of its own.'
    ),
    errors.SheetTooLarge: (
        "The file has 5,120,000 bytes; an upload may have 4,400,000. Send a larger file by the form that POST /uploads "
        "answers, or drop it into the bucket's drop/ folder."
    ),
    errors.UrlRefused: ("The host 10.0.0.5 is not contacted: it is an address of a private network."),
    errors.ImageJobsError: (
        "Something went wrong on our side. Try again in a moment, an upload with the same Idempotency-Key."
    ),
}
"""The message of each error that an operation can answer, but for those of parameters, which say it themselves."""

"""Every error that reaches a person, with its code, its sentence and what becomes of it.

    ImageJobsError
    ├── RequestError                  answered by the API: `http_status`, `code`, `message`
    │   ├── RequestInvalid            400  a query parameter or header that cannot be used
    │   ├── UploadInvalid             400  not the multipart form that was asked for
    │   ├── OptionInvalid             400  a form field or metadata option that cannot be used
    │   ├── RequestIdInvalid          400
    │   ├── JobNotFound               404  unknown, or another caller's
    │   ├── NoFailures                404  none of the job's rows failed
    │   ├── ResultNotReady            409
    │   ├── NoReport                  404  of a dry run
    │   ├── ReportNotReady            404  `retry_after_seconds`
    │   ├── JobNotEnded               409  asked for what only an ended job can have
    │   ├── JobEnded                  409  too late: the work is done
    │   ├── NothingToRetry            409
    │   ├── NoWebhook                 409
    │   ├── IdempotencyKeyReused      409  the same key with another upload
    │   ├── LimitExceeded             429  `retry_after_seconds`
    │   │   ├── QuotaExceeded              the caller's images a day
    │   │   └── RateExceeded               the caller's requests a minute
    │   └── SheetError                400  the CSV as a whole cannot be read: `line_number`
    │       └── SheetTooLarge         413
    ├── RowError                      one row cannot be read; the others go on
    └── ImageError                    one image failed; the others go on
        ├── UrlRefused                its URL, its address or the operator forbids it
        ├── OriginRefused             the origin answered, and the answer is final (404, ...)
        ├── OriginUnavailable         transient: 5xx, 429, reset, time-out; `retry_after_seconds`
        │   └── HostAtRest                 not asked for this image: the host wants no requests for now
        ├── ImageTooLarge             over the byte, pixel, frame or scan limit
        ├── ImageUnreadable           empty, truncated or not what its first bytes say
        ├── FormatUnsupported         not a JPEG, PNG, WebP or GIF
        ├── CodecFailed               took too long, needed too much memory, or crashed the decoder
        ├── ImageAbandoned            gave up: too many attempts, or a dead-lettered row
        └── JobCancelled              not begun: the job was cancelled

A message says what is wrong, where, and what to do; it never holds a URL's query.
"""

from typing import ClassVar


class ImageJobsError(Exception):
    """Root of the tree.

    Args:
        message: One or two sentences for the person who gets it.

    Attributes:
        code: A stable, machine-readable word in snake_case.
        transient: True when the same work may succeed later.
    """

    code: ClassVar[str] = "internal_error"
    transient: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(ImageJobsError):
    """The API answers it with `http_status` and `{"code", "message"}`."""

    code = "request_invalid"
    http_status: ClassVar[int] = 400


class RequestInvalid(RequestError):
    """A query parameter or a header has a value that cannot be used."""


class UploadInvalid(RequestError):
    """The body is not the multipart form that `POST /upload` takes."""

    code = "upload_invalid"


class OptionInvalid(RequestError):
    """An option has an unknown name or a value out of its range."""

    code = "option_invalid"


class RequestIdInvalid(RequestError):
    """The path's `request_id` is not a UUID."""

    code = "request_id_invalid"


class JobNotFound(RequestError):
    """No such job, or it belongs to another caller."""

    code = "job_not_found"
    http_status = 404


class NoFailures(RequestError):
    """The job has no CSV of rows that failed, or not yet."""

    code = "no_failures"
    http_status = 404


class NoReport(RequestError):
    """The job is a dry run, which has its `preflight` instead."""

    code = "no_report"
    http_status = 404


class ResultNotReady(RequestError):
    """The job has no finished CSV, or not yet."""

    code = "result_not_ready"
    http_status = 409


class ReportNotReady(RequestError):
    """The job has no report yet: it is written soon after the job has ended.

    Args:
        message: What to wait for.
        retry_after_seconds: When it is worth another try.
    """

    code = "report_not_ready"
    http_status = 404

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class JobNotEnded(RequestError):
    """Only an ended job can be retried or have its webhook sent again."""

    code = "job_not_ended"
    http_status = 409


class JobEnded(RequestError):
    """The job's work is done; there is nothing left to cancel, or to send."""

    code = "job_ended"
    http_status = 409


class NothingToRetry(RequestError):
    """The job has no failed image, or no image at all."""

    code = "nothing_to_retry"
    http_status = 409


class NoWebhook(RequestError):
    """The job was given no webhook_url."""

    code = "no_webhook"
    http_status = 409


class IdempotencyKeyReused(RequestError):
    """The key came with another upload before."""

    code = "idempotency_key_reused"
    http_status = 409


class LimitExceeded(RequestError):
    """The caller has used up what it may.

    Args:
        message: Which limit, and what to do.
        retry_after_seconds: When it is worth another try.
    """

    http_status = 429

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QuotaExceeded(LimitExceeded):
    """More images than are left of the caller's day (UTC)."""

    code = "quota_exceeded"


class RateExceeded(LimitExceeded):
    """More requests than the caller may send in a minute."""

    code = "throttled"


class SheetError(RequestError):
    """The CSV as a whole cannot be read.

    Args:
        message: What is wrong and what to do, the line named in it when there is one.
        line_number: Line of the file, from 1, where it went wrong; None when the whole file is meant.
    """

    code = "sheet_invalid"

    def __init__(self, message: str, line_number: int | None = None) -> None:
        super().__init__(message)
        self.line_number = line_number


class SheetTooLarge(SheetError):
    """The CSV has more rows or bytes than the limits allow."""

    code = "sheet_too_large"
    http_status = 413


class RowError(ImageJobsError):
    """A row lacks a cell, has one too many, or names no image."""

    code = "row_invalid"


class ImageError(ImageJobsError):
    """One image failed."""

    code = "image_failed"


class UrlRefused(ImageError):
    """The URL, or the address behind it, is one that the service does not connect to."""

    code = "url_refused"


class OriginRefused(ImageError):
    """The origin's answer is final, such as 404."""

    code = "origin_refused"


class OriginUnavailable(ImageError):
    """The origin may answer later.

    Args:
        message: What happened.
        retry_after_seconds: The origin's own wish (Retry-After), in seconds; None without one.
    """

    code = "origin_unavailable"
    transient = True

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class HostAtRest(OriginUnavailable):
    """The host asked for a rest, over another image; this one was not asked for.

    Args:
        message: Which host.
        rest_seconds: What is left of it.
    """

    def __init__(self, message: str, rest_seconds: float) -> None:
        super().__init__(message, rest_seconds)
        self.rest_seconds = rest_seconds


class ImageTooLarge(ImageError):
    """Over the byte, pixel, frame or scan limit."""

    code = "image_too_large"


class ImageUnreadable(ImageError):
    """Empty, truncated or damaged."""

    code = "image_unreadable"


class FormatUnsupported(ImageError):
    """The content is not in a format that the service takes."""

    code = "format_unsupported"


class CodecFailed(ImageError):
    """Its decoder or encoder took too long, needed too much memory, or crashed."""

    code = "codec_failed"


class ImageAbandoned(ImageError):
    """Too many attempts, or its message was dead-lettered."""

    code = "image_abandoned"


class JobCancelled(ImageError):
    """Its job was cancelled before the image was begun."""

    code = "cancelled"

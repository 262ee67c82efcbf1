"""What the API answers and webhooks say, field by field: each shape once, as its users read it.

The API's description is generated from these types, their docstrings and the texts under their fields. `Annotated` adds
keywords of JSON Schema to a type, each with its value.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

Uuid = Annotated[str, ("format", "uuid")]
Url = Annotated[str, ("format", "uri")]
Timestamp = Annotated[str, ("format", "date-time")]
Count = Annotated[int, ("minimum", 0)]
FromOne = Annotated[int, ("minimum", 1)]


class Error(TypedDict):
    """What is wrong."""

    code: str
    """A stable word for programs; more of them may come."""
    message: str
    """For people: what is wrong, where, and what to do."""


class Health(TypedDict):
    """The API answers."""

    status: Literal["ok"]
    """Always this word."""


class OpenApi(TypedDict):
    """OpenAPI 3.1."""

    openapi: str
    """The version of OpenAPI."""
    info: dict[str, Any]
    """What the API is."""
    paths: dict[str, Any]
    """Its operations."""


class JobAccepted(TypedDict):
    """The job is accepted."""

    request_id: Uuid
    """The job's name in every other call."""


class UploadOpened(TypedDict):
    """The form by which the CSV is sent."""

    request_id: Uuid
    """The job's name in every other call."""
    url: Url
    """Where the form is sent."""
    fields: dict[str, str]
    """Its fields before `file`; they are as good as a key, for this one upload."""
    expires_at: Timestamp
    """When the form is taken no longer."""


class Totals(TypedDict):
    """What a job comes to."""

    rows: Count | None
    """Rows of the sheet; null until all are read."""
    rows_failed: Count
    """Rows that could not be read."""
    images: Count | None
    """Images of the sheet; null until all are read."""
    images_completed: Count
    """Images that are done."""
    images_failed: Count
    """Images that cannot be had, each with its reason."""
    images_unchanged: Count
    """Of completed images, those that keep their coded picture."""
    images_reused: Count
    """Of completed images, those that are what they became in an earlier job; they are given back to the day when the
    job ends."""
    bytes_before: Count
    """Of completed images."""
    bytes_after: Count
    """Of completed images."""


class SheetColumns(TypedDict):
    """The columns that are read, by their names in the header."""

    id: str
    """Of what the rows of one product share."""
    name: str
    """Of the product's name."""
    urls: list[str]
    """Of those with image URLs."""


class Sheet(TypedDict):
    """What was found in a CSV."""

    columns: SheetColumns
    """The columns that are read."""
    column_separator: Literal["comma", "semicolon", "tab"]
    """What stands between two columns."""
    url_separators: list[Literal[",", "|", ";", "\n"]]
    """What stands between URLs within its cells; empty when no cell has two."""


class FormatTotals(TypedDict):
    """What a preflight found of one format."""

    images: Count
    """How many."""
    bytes: Count
    """Of these."""


class Formats(TypedDict):
    """By format."""

    jpeg: NotRequired[FormatTotals]
    """JPEG."""
    png: NotRequired[FormatTotals]
    """PNG."""
    webp: NotRequired[FormatTotals]
    """WebP."""
    gif: NotRequired[FormatTotals]
    """GIF."""


class Warnings(TypedDict):
    """Images that can be compressed, and that shops refuse or show badly."""

    small: Count
    """With a side under 250 pixels."""
    large: Count
    """Over 20 megapixels or 16 MB."""


class Estimate(TypedDict):
    """What a real run with these options would come to."""

    bytes_after: Count
    """Of the compressed images; may be half or twice as many."""
    seconds: Count
    """From the upload to the end, with nobody else's images in the way."""
    usd: Annotated[float, ("minimum", 0)]
    """What AWS asks the operator for it, by its list prices."""


class Preflight(TypedDict):
    """What a preflight found."""

    rows: Count
    """Rows of the sheet."""
    images: Count
    """Images of the sheet."""
    images_failed_by_code: dict[str, Count]
    """Those that would fail in a real run, by `error_code`."""
    images_reused: Count
    """Those that have not changed since an earlier job, as their origin says."""
    duplicates: Count
    """Those whose URL stands earlier in the sheet; they are done once."""
    warnings: Warnings
    """Those to look at."""
    bytes_before: Count
    """Of those that would not fail."""
    formats: Formats
    """Those that would not fail."""
    estimate: Estimate
    """What a real run would come to."""


class Job(Totals):
    """How far the job is."""

    request_id: Uuid
    """The job."""
    status: Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED"]
    """COMPLETED and FAILED are ends. FAILED is a job whose sheet cannot be read, that has not one compressed image, or
    that was cancelled; single images that fail do not make it so."""
    created_at: Timestamp
    """When it was accepted."""
    updated_at: Timestamp
    """When it last moved."""
    completion_percentage: Annotated[int, ("minimum", 0), ("maximum", 100)]
    """Of the images that this generation does; 100 when the job has ended."""
    error_message: str | None
    """Why the job as a whole failed."""
    generation: FromOne
    """1, and one more with each retry."""
    sheet: Sheet | None
    """What was found in the CSV; null until all of its rows are read."""
    dry_run: bool
    """Whether its images are only looked at. Completed ones are those that a real run would begin with, then."""
    preflight: Preflight | None
    """What a dry run has found; null until it has ended."""
    result_url: Url | None
    """Where the finished CSV is had with the token; null while there is none."""
    failures_url: Url | None
    """Where the rows that failed are had with the token; null while there are none."""
    report_url: Url | None
    """Where the report is had with the token; null while there is none, which is until soon after the job has ended,
    and of a dry run for good."""


class JobPage(TypedDict):
    """One page."""

    jobs: list[Job]
    """Newest first."""
    next: str | None
    """The `after` of the next page; null on the last."""


class Link(TypedDict):
    """Where it is downloaded without the token, for an hour."""

    url: Url
    """The same as the header `Location` of a redirect."""


class Image(TypedDict):
    """One image of a job."""

    image_id: Uuid
    """The image."""
    row_number: FromOne
    """The sheet's row that names it, from 1, the header not counted."""
    position: FromOne
    """Which of the row's images it is, from 1."""
    serial_number: str | None
    """The id in its row; null of images older than this field."""
    product_name: str
    """The row's."""
    source_url: str
    """Where it comes from, as the sheet says."""
    image_url: str | None
    """Where the compressed image is served."""
    status: Literal["PENDING", "COMPLETED", "FAILED"]
    """COMPLETED and FAILED are ends."""
    error_code: str | None
    """Why it failed, a word for programs."""
    error_message: str | None
    """Why it failed, for people."""
    format: Literal["jpeg", "png", "webp", "gif", "avif"] | None
    """Of the compressed image; in a dry run of the file that came, and so are width and height, as stored."""
    outcome: Literal["smaller", "converted", "unchanged", "checked"] | None
    """`unchanged` is the coded picture that came, pixel for pixel, in a new file without metadata but for its colours
    and orientation; `checked` one that was only looked at, in a dry run."""
    width: FromOne | None
    """Pixels."""
    height: FromOne | None
    """Pixels."""
    bytes_before: Count | None
    """Of the file that came."""
    bytes_after: Count | None
    """Of the compressed image."""
    encoder: Literal["jpeg", "jpegli", "webp", "webp-lossless", "avif", "png", "png-palette", "gif"] | None
    """What coded it."""
    encoder_quality: int | None
    """The encoder's own number."""
    cpu_ms: Count | None
    """Milliseconds of CPU that it took."""
    score: Annotated[float, ("minimum", 1), ("maximum", 100)] | None
    """SSIMULACRA2 against the picture that was coded (in its new size, upright, in sRGB), where `min_quality` asked for
    one; 100 for what was coded without loss, or is unchanged."""
    content: Literal["photograph", "graphic"] | None
    """What a still PNG or lossless WebP holds. A `photograph` stored so is far smaller with `format` `auto`."""
    reused: Literal["not_modified", "same_content"] | None
    """Why it was not compressed again: its origin said that it has not changed, or sent the bytes of an image that was
    compressed before in the same way, under this URL or another. It has the other's `image_url` then."""
    human_url: str | None
    """Where it is served under the sheet's own numbers, cached for minutes; null unless `human_urls` asked for it."""
    same_as_row_number: FromOne | None
    """The row in which its URL stands first; null where that is here. It becomes what the image there becomes."""
    same_as_position: FromOne | None
    """Which of that row's images."""


class ImagePage(TypedDict):
    """One page."""

    images: list[Image]
    """In the sheet's order."""
    next: str | None
    """The `after` of the next page; null on the last."""


class ImageEvents(TypedDict):
    """What is new."""

    images: list[Image]
    """As they are now, in the order in which they became COMPLETED or FAILED."""
    next: str
    """The `after` of the next call; the same as this one's when nothing is new."""
    job: Job
    """As its status says."""


class Delivery(TypedDict):
    """One attempt at a webhook."""

    event_id: str
    """What the header `webhook-id` said; each generation of a job has its own."""
    attempt: FromOne
    """Which of the event's attempts it was, from 1."""
    attempted_at: Timestamp
    """When it was made."""
    status_code: int | None
    """What the receiver answered; null when nobody did."""
    error_message: str | None
    """Why nobody answered."""
    outcome: Literal["delivered", "retry", "gone", "exhausted"]
    """`delivered`: a 2xx; `retry`: another attempt follows; `gone`: 410, none follows; `exhausted`: it was the last."""


class Deliveries(TypedDict):
    """Where the job reports, and what came of it."""

    webhook_url: str | None
    """Without its query; null for a job without a webhook."""
    deliveries: list[Delivery]
    """Newest first."""


class JobRetried(TypedDict):
    """The generation that is at work."""

    request_id: Uuid
    """The job."""
    generation: Annotated[int, ("minimum", 2)]
    """One more than before; the same while it is at work."""


class JobCancelled(TypedDict):
    """No image is begun any more."""

    request_id: Uuid
    """The job."""


class WebhookRedelivered(TypedDict):
    """An attempt is on its way."""

    request_id: Uuid
    """The job."""
    event_id: str
    """What `webhook-id` will say."""


class JobEnded(Totals):
    """What a webhook says of a job that has ended."""

    request_id: Uuid
    """The job."""
    status: Literal["COMPLETED", "FAILED"]
    """As in the job's status."""
    message: str
    """The same in a sentence, with the reason if the job failed."""
    generation: FromOne
    """As in the job's status."""
    dry_run: bool
    """As in the job's status."""
    preflight: Preflight | None
    """As in the job's status."""
    result_url: Url | None
    """Where the finished CSV is had with the token; null when there is none."""
    failures_url: Url | None
    """Where the rows that failed are had with the token; null when there are none."""

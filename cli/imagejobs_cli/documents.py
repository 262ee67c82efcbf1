"""What the API answers, as far as the commands read it."""

from typing import Any, Literal, NotRequired, TypedDict


class Job(TypedDict):
    """`GET /job/status/<request_id>`; bytes are of completed images."""

    request_id: str
    status: Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED"]
    created_at: str
    updated_at: str
    completion_percentage: int
    error_message: str | None
    generation: int
    rows: int | None
    rows_failed: int
    images: int | None
    images_completed: int
    images_failed: int
    images_unchanged: int
    bytes_before: int
    bytes_after: int
    result_url: str | None
    images_reused: NotRequired[int]
    failures_url: NotRequired[str | None]
    report_url: NotRequired[str | None]
    dry_run: NotRequired[bool]
    preflight: NotRequired[dict[str, Any] | None]


class Image(TypedDict):
    """One of `GET /job/<request_id>/images`."""

    row_number: int
    position: int
    product_name: str
    source_url: str
    image_url: str | None
    status: Literal["PENDING", "COMPLETED", "FAILED"]
    error_code: str | None
    error_message: str | None
    format: str | None
    bytes_after: int | None


class Delivery(TypedDict):
    """One attempt of `GET /job/<request_id>/deliveries`."""

    event_id: str
    attempt: int
    attempted_at: str
    status_code: int | None
    error_message: str | None
    outcome: str


class Deliveries(TypedDict):
    """`GET /job/<request_id>/deliveries`."""

    webhook_url: str | None
    deliveries: list[Delivery]

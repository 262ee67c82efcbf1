"""Metrics: what the service counts for its operator, and the one place where they are named.

Each is a line of CloudWatch's embedded metric format on standard output; CloudWatch takes it from the function's log.
It is written after the commit that it tells of, and tells what that commit changed, not what was tried:

- A COMMIT whose reply was lost is repeated, and then changes nothing; a function that dies behind its COMMIT says
  nothing. So a commit may be missing from the metrics, and is never in them twice. The truth is in Postgres.
- `MessagesBuried` has no commit: a dead letter that SQS hands out again after it was buried counts again.
- `SheetsRefused` of the service `api` has none either: it counts answers, and a caller who asks again counts again.

CPU time is that of pictures that were coded; what was spent on one that failed is not known.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit


class Metric(StrEnum):
    """Names in CloudWatch. Each has the dimension `service`: the step that counted it."""

    JOBS_COMPLETED = "JobsCompleted"
    JOBS_FAILED = "JobsFailed"
    JOBS_STUCK = "JobsStuck"  # a gauge: once a minute, from `sweep`
    SHEETS_REFUSED = "SheetsRefused"
    IMAGES_COMPLETED = "ImagesCompleted"
    IMAGES_REUSED = "ImagesReused"  # of the completed ones
    IMAGES_CHECKED = "ImagesChecked"  # of dry runs, which count in none of the others
    IMAGES_FAILED = "ImagesFailed"  # a second time with the dimension `code` beside `service`
    BYTES_BEFORE = "BytesBefore"  # of completed images, those of a repeated URL each time
    BYTES_AFTER = "BytesAfter"
    CODEC_CPU_MS = "CodecCpuMs"
    MESSAGES_BURIED = "MessagesBuried"
    WEBHOOKS_EXHAUSTED = "WebhooksExhausted"


_UNITS = {
    Metric.BYTES_BEFORE: MetricUnit.Bytes,
    Metric.BYTES_AFTER: MetricUnit.Bytes,
    Metric.CODEC_CPU_MS: MetricUnit.Milliseconds,
}


def emit(values: Mapping[Metric, float], *, code: str = "", **fields: object) -> None:
    """Write one line.

    Args:
        values: By metric.
        code: The error's, for the dimension of that name; without one the metrics have `service` alone.
        fields: What else the line says, such as `request_id`; it can be searched for and is no dimension.
    """
    line = EphemeralMetrics()
    for metric, value in values.items():
        line.add_metric(metric, _UNITS.get(metric, MetricUnit.Count), value)
    if code:
        line.add_dimension("code", code)
    for name, content in fields.items():
        line.add_metadata(name, content)
    line.flush_metrics()


def emit_images(tallies: Sequence[Mapping[str, Any]]) -> None:
    """Count images that became terminal.

    Args:
        tallies: What the statement that ended them returned: a row a job (`count_terminal` in sql/queries/images.sql).
    """
    checked = [tally for tally in tallies if tally["dry_run"]]
    if checked:
        images = sum(tally["completed"] + tally["failed"] for tally in checked)
        emit({Metric.IMAGES_CHECKED: images}, request_ids=[str(tally["request_id"]) for tally in checked])
    _emit_compressed([tally for tally in tallies if not tally["dry_run"]])


def _emit_compressed(tallies: Sequence[Mapping[str, Any]]) -> None:
    if not tallies:
        return
    columns = {
        Metric.IMAGES_COMPLETED: "completed",
        Metric.IMAGES_REUSED: "reused",
        Metric.IMAGES_FAILED: "failed",
        Metric.BYTES_BEFORE: "before",
        Metric.BYTES_AFTER: "after",
        Metric.CODEC_CPU_MS: "cpu_ms",
    }
    values = {metric: sum(tally[column] for tally in tallies) for metric, column in columns.items()}
    emit(values, request_ids=[str(tally["request_id"]) for tally in tallies])
    failures: Counter[str] = Counter()
    for tally in tallies:
        failures.update(tally["failures"] or {})
    for code, images in failures.items():
        emit({Metric.IMAGES_FAILED: images}, code=code)

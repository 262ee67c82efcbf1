"""Lines of CloudWatch's embedded metric format, as the functions write them, and which metrics they are to write."""

import json
from collections import Counter
from typing import Any

from imagejobs.metrics import Metric

ENDS_IMAGES = {"compress", "bury", "api"}  # the last by a cancellation
EMITTED: dict[Metric, set[str]] = {
    Metric.JOBS_COMPLETED: {"finalize"},
    Metric.JOBS_FAILED: {"finalize"},
    Metric.JOBS_STUCK: {"sweep"},
    Metric.SHEETS_REFUSED: {"api", "fan_out", "bury", "sweep"},
    Metric.IMAGES_COMPLETED: ENDS_IMAGES,
    Metric.IMAGES_REUSED: ENDS_IMAGES,
    Metric.IMAGES_CHECKED: ENDS_IMAGES,
    Metric.IMAGES_FAILED: ENDS_IMAGES,
    Metric.BYTES_BEFORE: ENDS_IMAGES,
    Metric.BYTES_AFTER: ENDS_IMAGES,
    Metric.CODEC_CPU_MS: ENDS_IMAGES,
    Metric.MESSAGES_BURIED: {"bury"},
    Metric.WEBHOOKS_EXHAUSTED: {"finalize"},
}
"""Every metric, and the steps that write it, each under its own name in the dimension `service`."""
WITH_CODE = {Metric.IMAGES_FAILED}
"""Those that are written a second time, with the dimensions `code` and `service`."""

Series = tuple[str, frozenset[tuple[str, str]]]


def metrics_in(output: str) -> list[dict[str, Any]]:
    """The lines of a function's standard output that are metrics."""
    logged = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [entry for entry in logged if "_aws" in entry]


def units_in(output: str) -> dict[str, str]:
    """Each metric's unit."""
    directives = [directive for line in metrics_in(output) for directive in line["_aws"]["CloudWatchMetrics"]]
    return {metric["Name"]: metric["Unit"] for directive in directives for metric in directive["Metrics"]}


def sums(output: str) -> Counter[Series]:
    """What CloudWatch would make of it: the sum of each metric with its dimensions' values."""
    found: Counter[Series] = Counter()
    for line in metrics_in(output):
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = frozenset((name, line[name]) for name in names)
                for metric in directive["Metrics"]:
                    found[metric["Name"], dimensions] += sum(line[metric["Name"]])
    return found


def series(metric: str, service: str, code: str = "") -> Series:
    """One of the keys of `sums`."""
    dimensions = {"service": service, "code": code} if code else {"service": service}
    return metric, frozenset(dimensions.items())

"""What a million images cost on AWS, and at how many a second each part is full, from figures that were measured.

docs/scaling.md has the formulas in words. Prices are in benchmarks/prices.py, what is assumed in `Assumptions`.

    make cost             SET='images_a_job=20000 lambda_arm64=0.00001 …' for other prices and assumptions
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from benchmarks import report
from benchmarks.cost_measure import DATABASE_BYTES, DATABASE_RATE, SIZES, WAL_BYTES, bytes_after, bytes_before, cpu_ms
from benchmarks.prices import LOOKED_UP, PRICES, REGION
from benchmarks.report import Figure, finish
from imagejobs.fetch import REQUESTS_PER_HOST
from imagejobs.limits import MEGABYTES_PER_VCPU
from imagejobs.steps.compress import TRANSFERS

MILLION = 1_000_000
GIGABYTE = 2**30
HOURS_A_MONTH = 730
SECONDS_A_DAY = 86_400
WORKERS_PICTURE = "1.7 MP"
ARCHITECTURES = ("arm64", "x86")
# WriteResult, RemoveStrays, CloseJob, HasWebhook, SendWebhook, RecordAttempt, IsRetried, Done.
TRANSITIONS_A_JOB = 8
# Of one job: fan_out, the API's upload with its authorizer, four of finalize, one of send_webhook and of report.
INVOCATIONS_A_JOB = 9
# The upload, the webhook's event, the report, and the three requests of the finished CSV's multipart upload.
PUTS_A_JOB = 6
GETS_A_JOB = 4  # the sheet's metadata, the sheet twice, the event
SQS_BATCH = 10
SQS_REQUESTS_A_BATCH = 3  # sent, received, deleted
# Every event source mapping polls with five long polls of 20 s: five queues have one.
IDLE_RECEIVES_A_SECOND = 5 * 5 / 20

# What AWS lets one account or resource have; docs/scaling.md names the pages.
LAMBDA_CONCURRENCY = 1_000
S3_PUTS_A_SECOND = 3_500
NAT_BYTES_A_SECOND = 100e9 / 8
SQS_IN_FLIGHT = 120_000
RDS_CONNECTION_BYTES = 9_531_392


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What was not measured; each can be overridden.

    Attributes:
        cpu_arm64: CPU time on Lambda's arm64 vCPU, as a multiple of that on the machine of the benchmark.
        cpu_x86: The same on x86.
        origin_ms: From asking an origin to its last byte.
        store_ms: The same of a PUT to S3.
        hosts: That a sheet's pictures lie on; an environment asks each for `REQUESTS_PER_HOST` at a time.
        rows_a_batch: Of an invocation of `compress`; the template's BatchSize, when there is work for all.
        images_a_row: Of a sheet.
        images_a_job: Of a sheet.
        fan_out_ms_a_row: Of `fan_out`; staged at 26,000 rows/s and sent at 2,820 (docs/performance.md).
        result_ms_a_row: Of `write_result`; 7,100 rows/s (docs/performance.md).
        months_kept: For how long images and their rows are stored.
        nat_share: Of the downloads that go through a NAT gateway: 1, or 0 with a public database.
        nat_gateways: One a zone.
        database_instances: 1, or 2 for a standby in another zone.
        views_an_image: Through CloudFront.
        compress_concurrency: What compress has of the template's DatabaseConnections.
        database_gigabytes: Memory of the database's instance.
        images_a_day: For which the ceilings are held against the load.
        peak: The busiest second's load, as a multiple of the day's mean.
    """

    cpu_arm64: float = 1.0
    cpu_x86: float = 1.0
    origin_ms: float = 150.0
    store_ms: float = 30.0
    hosts: float = 1.0
    rows_a_batch: float = 50.0
    images_a_row: float = 1.0
    images_a_job: float = 1_000.0
    fan_out_ms_a_row: float = 0.39
    result_ms_a_row: float = 0.14
    months_kept: float = 1.0
    nat_share: float = 1.0
    nat_gateways: float = 1.0
    database_instances: float = 1.0
    views_an_image: float = 0.0
    compress_concurrency: float = 40.0
    database_gigabytes: float = 8.0
    images_a_day: float = 10_000_000.0
    peak: float = 5.0


@dataclass(frozen=True, slots=True)
class Picture:
    """One size of picture, as measured.

    Attributes:
        name: For the tables.
        cpu_ms: CPU milliseconds of `imagejobs.image.compress`.
        bytes_before: Downloaded.
        bytes_after: Stored.
    """

    name: str
    cpu_ms: float
    bytes_before: float
    bytes_after: float


@dataclass(frozen=True, slots=True)
class Worker:
    """What one environment of `compress` takes beside the codec, as measured.

    Attributes:
        outside_ms: CPU milliseconds an image outside the codec.
        waiting_ms: Milliseconds an image in which its vCPU is idle, at an origin that takes 150 ms.
        bytes_before: Of the pictures that this was measured with.
    """

    outside_ms: float
    waiting_ms: float
    bytes_before: float


@dataclass(frozen=True, slots=True)
class Stored:
    """What an image leaves in Postgres, as measured.

    Attributes:
        bytes: Of its row, with the indexes' part.
        wal_bytes: Written to the log for it, from its staging to its end.
        a_second: Images a second that the measured server leased and ended.
    """

    bytes: float
    wal_bytes: float
    a_second: float


Prices = Mapping[str, float]


def main(overrides: Sequence[str]) -> None:
    """Read the last measurements, and report."""
    prices, assumed = overridden(overrides)
    worker_figures, measured = read_figures("worker", "make bench"), read_figures("cost_measure", "make cost")
    pictures = [picture_of(measured, name) for name in SIZES]
    worker = worker_of(worker_figures, measured)
    stored = Stored(measured[DATABASE_BYTES], measured[WAL_BYTES], measured[DATABASE_RATE])
    costs = {
        architecture: {each.name: cost(each, worker, stored, prices, assumed, architecture) for each in pictures}
        for architecture in ARCHITECTURES
    }
    monthly = fixed_cost(prices, assumed)
    full_at = {each.name: ceilings(each, worker, stored, assumed) for each in pictures}
    print_prices(prices)
    print_table(f"USD a million images, {ARCHITECTURES[0]}", costs[ARCHITECTURES[0]], "{:,.2f}")
    print_table("USD a month, whatever the load", {"": monthly}, "{:,.2f}")
    print_table("images a second at which each is full, alone", full_at, "{:,.0f}")
    inputs = {"worker": asdict(worker), "pictures": [asdict(each) for each in pictures], "stored": asdict(stored)}
    details = {"region": REGION, "prices": dict(prices), "assumptions": asdict(assumed), "measured": inputs}
    tables = {"usd_a_million": costs, "usd_a_month": monthly, "images_a_second": full_at}
    finish("cost", totals(costs, monthly, assumed), {**details, **tables})


def overridden(overrides: Sequence[str]) -> tuple[Prices, Assumptions]:
    """Prices and assumptions, with `name=value` of each override in place.

    Raises:
        SystemExit: One of them has no number, or names nothing.
    """
    prices = {name: price.usd for name, price in PRICES.items()}
    changes: dict[str, float] = {}
    for name, _, value in (override.partition("=") for override in overrides):
        try:
            number = float(value)
        except ValueError:
            raise SystemExit(f"SET must be name=number, separated by blanks; it has {name!r} with {value!r}.") from None
        if name in prices:
            prices[name] = number
        elif name in {field.name for field in fields(Assumptions)}:
            changes[name] = number
        else:
            known = ", ".join([*prices, *(field.name for field in fields(Assumptions))])
            raise SystemExit(f"There is no price and no assumption {name!r}; there are {known}.")
    return prices, replace(Assumptions(), **changes)


def read_figures(benchmark: str, target: str) -> dict[str, float]:
    """The figures of the last run of a benchmark, by name.

    Raises:
        SystemExit: It was not run.
    """
    path: Path = report.BUILD / f"{benchmark}.json"
    if not path.exists():
        raise SystemExit(f"There is no build/{path.name}; `{target}` writes it.")
    return {figure["name"]: figure["value"] for figure in json.loads(path.read_text())["figures"]}


def picture_of(measured: Mapping[str, float], name: str) -> Picture:
    """One size, from the figures of `cost_measure`."""
    return Picture(name, measured[cpu_ms(name)], measured[bytes_before(name)], measured[bytes_after(name)])


def worker_of(figures: Mapping[str, float], measured: Mapping[str, float]) -> Worker:
    """The worker, from the figures of `worker`.

    A rate that is a ratio to the loop's says what an image takes on a core that nobody else uses.
    """
    loop_ms, worker_ms = figures["CPU an image of the loop, ms"], figures["CPU an image of the worker, ms"]
    late_ms = loop_ms / figures["origin that takes 150 ms, worker : loop"]
    return Worker(worker_ms - loop_ms, max(0.0, late_ms - worker_ms), measured[bytes_before(WORKERS_PICTURE)])


def billed_ms(picture: Picture, worker: Worker, assumed: Assumptions, architecture: str) -> float:
    """Milliseconds of one environment that an image takes.

    Its vCPU is busy, or all of its transfers are waiting, or all that it may ask of the origin. What the CPU does
    outside the codec is taken to grow with the bytes, and to be no less for fewer of them than was measured: too much
    for both.
    """
    grown = max(1.0, picture.bytes_before / worker.bytes_before)
    slower = {"arm64": assumed.cpu_arm64, "x86": assumed.cpu_x86}[architecture]
    busy_ms = (picture.cpu_ms + worker.outside_ms * grown) * slower
    transfers_ms = (assumed.origin_ms + assumed.store_ms + busy_ms) / TRANSFERS
    origin_ms = assumed.origin_ms / (REQUESTS_PER_HOST * assumed.hosts)
    return max(busy_ms + worker.waiting_ms, transfers_ms, origin_ms)


def cost(
    picture: Picture, worker: Worker, stored: Stored, prices: Prices, assumed: Assumptions, architecture: str
) -> dict[str, float]:
    """USD for a million images, by part."""
    rows, jobs = MILLION / assumed.images_a_row, MILLION / assumed.images_a_job
    compress_seconds = MILLION * billed_ms(picture, worker, assumed, architecture) / 1000
    row_seconds = rows * (assumed.fan_out_ms_a_row + assumed.result_ms_a_row) / 1000
    gigabyte_seconds = {"compress": compress_seconds * MEGABYTES_PER_VCPU / 1024, "others": row_seconds}
    messages = rows / SQS_BATCH * SQS_REQUESTS_A_BATCH
    before, after = (MILLION * size / GIGABYTE for size in (picture.bytes_before, picture.bytes_after))
    return {
        "Lambda, compress": gigabyte_seconds["compress"] * prices[f"lambda_{architecture}"],
        "Lambda, fan_out and finalize": gigabyte_seconds["others"] * prices[f"lambda_{architecture}"],
        "Lambda, requests": (rows / assumed.rows_a_batch + jobs * INVOCATIONS_A_JOB) * prices["lambda_request"],
        "S3, requests": (MILLION + jobs * PUTS_A_JOB) * prices["s3_put"] + jobs * GETS_A_JOB * prices["s3_get"],
        "S3, storage": after * assumed.months_kept * prices["s3_storage"],
        "SQS": messages * (prices["sqs_request"] + prices["sqs_fair_queue"]),
        "Step Functions": jobs * TRANSITIONS_A_JOB * prices["step_functions_transition"],
        "NAT gateway, downloads": before * assumed.nat_share * prices["nat_processed"],
        "Postgres, storage": MILLION
        * stored.bytes
        / GIGABYTE
        * assumed.months_kept
        * assumed.database_instances
        * prices["rds_storage"],
        "CloudFront": assumed.views_an_image
        * (after * prices["cloudfront_out"] + MILLION * prices["cloudfront_request"]),
    }


def fixed_cost(prices: Prices, assumed: Assumptions) -> dict[str, float]:
    """USD a month without an image, by part."""
    gateway = prices["nat_gateway"] + prices["public_ipv4"]
    return {
        "Postgres, instance": HOURS_A_MONTH * assumed.database_instances * prices["rds_instance"],
        "NAT gateways and addresses": HOURS_A_MONTH * assumed.nat_gateways * gateway,
        "SQS, empty receives": HOURS_A_MONTH * 3600 * IDLE_RECEIVES_A_SECOND * prices["sqs_request"],
    }


def ceilings(picture: Picture, worker: Worker, stored: Stored, assumed: Assumptions) -> dict[str, float]:
    """Images a second at which each part is full, as if there were no other."""
    seconds = billed_ms(picture, worker, assumed, ARCHITECTURES[0]) / 1000
    connections = assumed.database_gigabytes * GIGABYTE / RDS_CONNECTION_BYTES
    in_flight = SQS_IN_FLIGHT / assumed.rows_a_batch
    return {
        "compress at once": assumed.compress_concurrency / seconds,
        "Lambda's account, 1,000 at once": LAMBDA_CONCURRENCY / seconds,
        "Postgres, connections": connections / seconds,
        "Postgres, statements": stored.a_second,
        "SQS, 120,000 in flight": in_flight / seconds * assumed.images_a_row,
        "S3, 3,500 PUTs on one partition": S3_PUTS_A_SECOND,
        "NAT gateway, 100 Gbit/s": NAT_BYTES_A_SECOND / picture.bytes_before,
        "load, mean": assumed.images_a_day / SECONDS_A_DAY,
        "load, peak": assumed.images_a_day / SECONDS_A_DAY * assumed.peak,
    }


def totals(
    costs: Mapping[str, Mapping[str, Mapping[str, float]]], monthly: Mapping[str, float], assumed: Assumptions
) -> list[Figure]:
    """The sums."""
    days = HOURS_A_MONTH / 24
    return [
        *(
            Figure(f"USD a million, {name}, {architecture}", sum(parts.values()))
            for architecture, found in costs.items()
            for name, parts in found.items()
        ),
        Figure("USD a month, whatever the load", sum(monthly.values())),
        *(
            Figure(
                f"USD a month, {assumed.images_a_day:,.0f} images a day of {name}, {ARCHITECTURES[0]}",
                sum(parts.values()) * assumed.images_a_day * days / MILLION + sum(monthly.values()),
            )
            for name, parts in costs[ARCHITECTURES[0]].items()
        ),
    ]


def print_prices(prices: Prices) -> None:
    """The prices, and which of them nobody confirmed."""
    print(f"prices of {REGION}, looked up on {LOOKED_UP}; * from memory, ! overridden by SET")
    for name, usd in prices.items():
        mark = "!" if usd != PRICES[name].usd else "" if PRICES[name].is_confirmed else "*"
        print(f"  {name + mark:<30} {usd:>14.10f}  {PRICES[name].unit}")


def print_table(title: str, columns: Mapping[str, Mapping[str, float]], layout: str) -> None:
    """Parts down, columns across, with the heading that they share."""
    print(f"\n{title:<48}" + "".join(f"{name:>12}" for name in columns))
    for part in next(iter(columns.values())):
        print(f"  {part:<46}" + "".join(f"{layout.format(found[part]):>12}" for found in columns.values()))


if __name__ == "__main__":
    main(sys.argv[1:])

"""What the service takes, in one place; the README's table repeats it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SheetLimits:
    """How large a CSV may be.

    Attributes:
        max_rows: Data rows, the header and blank lines not counted.
        max_bytes: Bytes of the file.
    """

    max_rows: int
    max_bytes: int


# Lambda's request payload is 6 MB and the body arrives base64-encoded (4/3) in JSON:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_UPLOAD_BYTES = 4_400_000

# A million rows and 256 MB through S3: checking one takes the fan-out some seconds, staging is handed over as needed.
SHEET_LIMITS = SheetLimits(max_rows=1_000_000, max_bytes=256 * 1024 * 1024)

# One image: sixteen of these are in transfer at once in a worker's memory, beside those that are decoded.
MAX_IMAGE_BYTES = 25 * 1024 * 1024

# A page of a caller's jobs, and of the attempts at a job's webhooks, of which a generation has some ten.
MAX_PAGE_JOBS = 100
MAX_DELIVERIES = 100

# A page of a job's images, and what it may come to in Lambda's answer, which has 6 MB at most: 500 of the longest URLs
# fit in ASCII, while another character may take 14 bytes, as JSON within JSON.
MAX_PAGE_IMAGES = 500
MAX_PAGE_BYTES = 5_000_000

# Images of one job that are sent and not done, for each compression Lambda: some four seconds' work. It bounds how
# long another job's rows wait behind them; half of it must keep all Lambdas busy until the fan-out has sent more.
IMAGES_OUT_PER_WORKER = 100

# Of a function's memory, at which it has one whole vCPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEGABYTES_PER_VCPU = 1769

# The sweeper rings once a minute: a lease of at most 45 s is found to be its dead owner's within two.
MAX_LEASE_SECONDS = 45.0


def lease_seconds(total_seconds: float) -> float:
    """How long a lease lasts in an invocation of `total_seconds`; its owner renews it three times in that."""
    return min(total_seconds / 6, MAX_LEASE_SECONDS)

"""What the service takes, in one place; the README's table repeats it."""

from imagejobs.sheet import SheetLimits

# Lambda's request payload is 6 MB and the body arrives base64-encoded (4/3) in JSON:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_UPLOAD_BYTES = 4_400_000

# A million rows and 256 MB through S3: what the fan-out stages within one invocation's 15 minutes.
SHEET_LIMITS = SheetLimits(max_rows=1_000_000, max_bytes=256 * 1024 * 1024)

# One image: what fits a worker's memory beside the others it holds.
MAX_IMAGE_BYTES = 25 * 1024 * 1024

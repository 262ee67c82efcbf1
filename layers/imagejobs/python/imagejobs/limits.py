"""What the service takes, in one place; the README's table repeats it."""

from imagejobs.sheet import SheetLimits

# Lambda's request payload is 6 MB and the body arrives base64-encoded (4/3) in JSON:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_UPLOAD_BYTES = 4_400_000

# A million rows and 256 MB through S3: checking one takes the fan-out some seconds, staging is handed over as needed.
SHEET_LIMITS = SheetLimits(max_rows=1_000_000, max_bytes=256 * 1024 * 1024)

# One image: eight of these are in transfer at once in a worker's memory, beside the one that is decoded.
MAX_IMAGE_BYTES = 25 * 1024 * 1024

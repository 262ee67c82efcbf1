"""Memory and rate of the finished CSV: the real `write_result` of jobs whose images are all done."""

import time

from benchmarks.report import Figure
from benchmarks.scale.bench import Bench
from imagejobs.bucket import PART_BYTES

TIMEOUT_SECONDS = 300.0  # the function's own
CHUNK_BYTES = 1_000_000  # more than what a part may have over its size: a chunk of the CSV

# As if workers had done them: what the finished CSV shows of an image.
FINISH_IMAGES = """
UPDATE compressed_images AS image
SET status = 'COMPLETED', format = 'jpeg', outcome = 'smaller', width = 1200, height = 1400,
    bytes_before = 512000, bytes_after = 204800,
    object_key = format('images/%%s/%%s-1-0123456789abcdef.jpg', image.request_id, row_number),
    image_url = format('https://images.example/images/%%s/%%s-1-0123456789abcdef.jpg', image.request_id, row_number)
FROM job_request AS job WHERE job.request_id = image.request_id AND job.source_key = %(key)s
"""
FINISH_JOB = """
UPDATE job_request
SET images_completed = images_total, bytes_before = 512000::bigint * images_total,
    bytes_after = 204800::bigint * images_total, completion_percentage = 99, finalizable_at = now()
WHERE source_key = %(key)s RETURNING request_id::text, generation
"""


def write_result(bench: Bench, key: str, rows: int) -> list[Figure]:
    """Write the finished CSV of a job that was fanned out, in a fresh process."""
    bench.query(FINISH_IMAGES, {"key": key})
    ((request_id, generation),) = bench.query(FINISH_JOB, {"key": key})
    state = {"request_id": request_id, "generation": generation}
    with bench.function("finalize") as function:
        began = time.monotonic()
        function.begin({"step": "write_result", "state": state}, TIMEOUT_SECONDS)
        answer = function.answer()
        seconds = time.monotonic() - began
    stored = bench.s3.get_object(Bucket=bench.info.bucket, Key=str(answer.content["result_key"]))
    lines = sum(bytes(chunk).count(b"\n") for chunk in stored["Body"].iter_chunks(1_000_000))
    parts = int(stored["ETag"].strip('"').partition("-")[2] or 0)  # S3 counts the parts in a multipart object's ETag
    return [
        Figure(f"finished CSV of {rows:,} rows, peak of memory, MB", answer.peak_megabytes, at_most=200),
        Figure(f"finished CSV of {rows:,} rows, rows a second", rows / seconds),
        Figure(f"finished CSV of {rows:,} rows, seconds", seconds, at_most=TIMEOUT_SECONDS),
        Figure(f"finished CSV of {rows:,} rows, rows in it : rows", (lines - 1) / rows, at_least=1, at_most=1),
        Figure(
            f"finished CSV of {rows:,} rows, parts of the upload",
            parts,
            at_least=max(1, stored["ContentLength"] // (PART_BYTES + CHUNK_BYTES)),
            at_most=-(-stored["ContentLength"] // PART_BYTES),
        ),
    ]

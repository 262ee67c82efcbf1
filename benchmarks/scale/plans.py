"""The plans of the statements of a job's life at ten million images, a tenth of them an open job's.

The bounds are in pages of 8 KiB that a statement may touch, and say nothing of how many images there are: they hold for
a hundred thousand (`tests/benchmarks/test_scale_plans.py`) and for ten million. Every statement is explained twice:
while Postgres has no statistics of the images, as after a large sheet was staged, and with them. build/scale_plans.txt
keeps the plans.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg2.extensions

from benchmarks.report import BUILD, Figure
from benchmarks.scale.server import connect, running
from imagejobs.jobs import JOB_STATUSES
from imagejobs.queries import statement
from imagejobs.steps.fan_out import SEND_IMAGES

JOBS = 10
MIN_IMAGES = 100_000  # fewer fit into so few pages that Postgres needs no index
OUT_IMAGES = 2_000  # sent and not done, of the open job: as many as twenty workers may have
LEASED_IMAGES = 100
EXPIRED_IMAGES = 20
BATCH_ROWS = 10

# All in one statement a job, without looking up the job for each image, and with the indexes made afterwards.
INSERT_JOB = """
INSERT INTO job_request (request_id, owner, source_key, source_version, status, completion_percentage, rows_staged,
                         rows_sent, rows_total, images_total, images_completed, finalizable_at, settled_at, updated_at)
VALUES (%(request_id)s, 'bench', 'drop/' || %(request_id)s || '.csv', '1', %(status)s, %(percentage)s, %(rows)s,
        %(sent)s, %(rows)s, %(rows)s, %(done)s, %(ended_at)s, %(ended_at)s, now() - interval '1 day')
"""
# What the caller has had done before, a job a minute, of which the pages of jobs are taken.
OLDER_JOBS = 10_000
INSERT_OLDER_JOBS = """
INSERT INTO job_request (request_id, owner, source_key, source_version, status, completion_percentage, rows_total,
                         images_total, finalizable_at, settled_at, created_at, updated_at)
SELECT gen_random_uuid(), 'bench', 'drop/' || n || '.csv', '1', 'COMPLETED', 100, 0, 0, moment, moment, moment, moment
FROM generate_series(1, %(jobs)s) AS n,
     LATERAL (SELECT now() - interval '2 days' - n * interval '1 minute' AS moment) AS way
"""
INSERT_IMAGES = """
INSERT INTO compressed_images (request_id, row_number, position, product_name, source_url, status, attempt, image_url,
                               object_key, format, outcome, width, height, bytes_before, bytes_after, url_key,
                               content_key)
SELECT %(request_id)s, n, 1, 'Product ' || n, 'https://cdn.shop.example/pictures/' || n || '.jpg',
       CASE WHEN done THEN 'COMPLETED' ELSE 'PENDING' END, done::int,
       CASE WHEN done THEN 'https://images.example/images/' || %(request_id)s || '/' || n || '-1-0123456789abcdef.jpg'
       END,
       CASE WHEN done THEN 'images/' || %(request_id)s || '/' || n || '-1-0123456789abcdef.jpg' END,
       CASE WHEN done THEN 'jpeg' END, CASE WHEN done THEN 'smaller' END, CASE WHEN done THEN 1200 END,
       CASE WHEN done THEN 1400 END, CASE WHEN done THEN 512000 END, CASE WHEN done THEN 204800 END,
       CASE WHEN done THEN %(content_key)s::uuid END, CASE WHEN done THEN %(content_key)s::uuid END
FROM generate_series(1, %(rows)s) AS n, LATERAL (SELECT n <= %(done)s AS done) AS way
"""
INSERT_EVENTS = """
INSERT INTO job_event (request_id, last_number, image_ids)
SELECT request_id, max(row_number), array_agg(image_id) FROM compressed_images
WHERE request_id = %(request_id)s AND status = 'COMPLETED' GROUP BY request_id, (row_number - 1) / 25
"""
# What an origin sends where it has no picture: of a content that many have, Postgres need not look into an index.
PLACEHOLDER = "00000000-0000-0000-0000-000000000001"
LEASE = """
UPDATE compressed_images
SET lease_token = %(token)s, attempt = 1,
    leased_until = now() + interval '1 day' * CASE WHEN row_number > %(done)s + %(expired)s THEN 1 ELSE -1 END
WHERE request_id = %(request_id)s AND row_number BETWEEN %(done)s + 1 AND %(done)s + %(leased)s
RETURNING image_id::text
"""
REPEAT = """
UPDATE compressed_images SET same_as_row_number = 1, same_as_position = 1
WHERE request_id = %(request_id)s AND row_number = ANY(%(row_numbers)s)
"""
INDEXES = """
SELECT format('ALTER TABLE compressed_images DROP CONSTRAINT %I', conname),
       format('ALTER TABLE compressed_images ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE conrelid = 'compressed_images'::regclass AND contype IN ('p', 'u')
UNION ALL
SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
FROM pg_index WHERE indrelid = 'compressed_images'::regclass AND NOT indisunique
"""


@dataclass(frozen=True, slots=True)
class OpenJob:
    """The job in the middle of its work.

    Attributes:
        request_id: Its id.
        rows: Of its sheet, an image each.
        done: Of them, done.
        token: The lease of those that are worked on.
        leased_ids: Those images.
    """

    request_id: UUID
    rows: int
    done: int
    token: UUID
    leased_ids: list[str]

    @property
    def batch_rows(self) -> range:
        """Rows that nobody works on yet."""
        first = self.done + LEASED_IMAGES + 1
        return range(first, first + BATCH_ROWS)

    @property
    def repeated_rows(self) -> range:
        """Rows with the URL of the first one."""
        return range(self.batch_rows.stop, self.batch_rows.stop + BATCH_ROWS)


@dataclass(frozen=True, slots=True)
class Question:
    """One statement with the values of one situation.

    Attributes:
        name: The situation.
        statement: The statement's name.
        parameters: Its values.
        max_pages: Pages that it may touch.
    """

    name: str
    statement: str
    parameters: Mapping[str, object]
    max_pages: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What EXPLAIN (ANALYZE, BUFFERS) said.

    Attributes:
        question: Of what.
        text: All of it.
        pages: That the statement touched.
        milliseconds: That it took.
    """

    question: Question
    text: str
    pages: int
    milliseconds: float

    @property
    def scans_all_images(self) -> bool:
        """Whether it goes through the whole table."""
        return "Seq Scan on compressed_images" in self.text


def figures(images: int) -> list[Figure]:
    """Fill a database with so many images, and look at every statement."""
    began = time.monotonic()
    with running() as host:
        connection = connect(host)
        job = fill(connection, images)
        print(f"{images:,} images inserted in {time.monotonic() - began:.0f} s", flush=True)
        without = explain_all(connection, job)
        _run(connection, "ANALYZE")
        plans = {"without statistics": without, "with statistics": explain_all(connection, job)}
        connection.close()
    _keep(images, plans)
    every = [plan for found in plans.values() for plan in found]
    worst = {plan.question.name: plan for plan in sorted(every, key=lambda plan: plan.pages)}
    return [
        Figure("images in the table", images),
        Figure("statements that scan all of them", sum(plan.scans_all_images for plan in every), at_most=0),
        *[Figure(f"pages, {name}", plan.pages, at_most=plan.question.max_pages) for name, plan in worst.items()],
        Figure("slowest of these statements, ms", max(plan.milliseconds for plan in every)),
    ]


def fill(connection: psycopg2.extensions.connection, images: int, jobs: int = JOBS) -> OpenJob:
    """All jobs settled but one, which is in its middle; Postgres is kept from gathering statistics by itself."""
    rows = images // jobs
    job = OpenJob(uuid4(), rows, rows // 2, uuid4(), [])
    settled = {"status": "COMPLETED", "percentage": 100, "sent": rows, "done": rows, "ended_at": "yesterday"}
    sent = {
        "status": "PROCESSING",
        "percentage": 50,
        "sent": min(rows, job.done + OUT_IMAGES),
        "done": job.done,
        "ended_at": None,
    }
    with connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE compressed_images SET (autovacuum_enabled = off)")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(INDEXES)
        indexes = cursor.fetchall()
        for drop, _ in indexes:
            cursor.execute(drop)
        cursor.execute(INSERT_OLDER_JOBS, {"jobs": OLDER_JOBS})
        every = [(uuid4(), settled) for _ in range(jobs - 1)] + [(job.request_id, sent)]
        for number, (request_id, columns) in enumerate(every, start=1):
            cursor.execute(INSERT_JOB, {"request_id": request_id, "rows": rows, **columns})
            known = {"content_key": PLACEHOLDER if number == jobs - 1 else None}
            cursor.execute(INSERT_IMAGES, {"request_id": request_id, "rows": rows, **known, **columns})
        for _, create in indexes:
            cursor.execute(create)
        lease = {"token": job.token, "done": job.done, "leased": LEASED_IMAGES, "expired": EXPIRED_IMAGES}
        cursor.execute(LEASE, {"request_id": job.request_id, **lease})
        job.leased_ids.extend(image_id for (image_id,) in cursor.fetchall())
        cursor.execute(INSERT_EVENTS, {"request_id": job.request_id})
        cursor.execute(REPEAT, {"request_id": job.request_id, "row_numbers": list(job.repeated_rows)})
    return job


def questions(job: OpenJob) -> Iterator[Question]:
    """Everything that is asked again and again while a job of a million images is open."""
    identity = {"request_id": job.request_id, "owner": "bench"}
    first = {**identity, "after_row": 0, "after_position": 0, "status": None, "limit": 501}
    yield Question("status", "get_owned_job", identity, 10)
    yield Question("listing, first page", "list_images", first, 600)
    yield Question("listing, deep page", "list_images", {**first, "after_row": job.rows - 1_000}, 600)

    yield Question("listing, those that failed", "list_images", {**first, "status": "FAILED"}, 50)
    newest = {"before_created_at": "infinity", "before_request_id": UUID(int=2**128 - 1), "limit": 51}
    yield Question("jobs, first page", "list_jobs", {**identity, **newest, "statuses": list(JOB_STATUSES)}, 150)
    yield Question("jobs, those that failed", "list_jobs", {**identity, **newest, "statuses": ["FAILED"]}, 50)

    deep = max(0, job.done - 600)
    yield Question(
        "events, a deep page", "list_events", {**identity, "after": deep, "until": deep + 500, "limit": 500}, 2_600
    )
    nothing_new = {**identity, "after": job.done, "until": job.done + 500, "limit": 500}
    yield Question("events, nothing new", "list_events", nothing_new, 20)

    keys = {"request_ids": [job.request_id] * BATCH_ROWS, "row_numbers": list(job.batch_rows)}
    repeated = {**keys, "row_numbers": list(job.repeated_rows)}
    lease = {**keys, "token": uuid4(), "lease_seconds": 20.0, "limit": 20}
    finished = [
        {
            "image_id": image_id,
            "lease_token": str(job.token),
            "status": "FAILED",
            "error_code": "x",
            "error_message": "x",
        }
        for image_id in job.leased_ids
    ]
    yield Question("lease of a batch", "lease_images", {**lease, "crashed": False}, 1_000)
    yield Question("lease of a batch after a crash", "lease_images", {**lease, "crashed": True, "limit": 1}, 1_000)
    yield Question("outcomes of 20 images", "finish_images", {"finished": json.dumps(finished[:20])}, 2_000)
    yield Question("outcomes of repeated URLs", "finish_repeated_urls", repeated, 1_000)
    yield Question("rows left of a batch", "list_unfinished_rows", keys, 200)

    room = {"request_ids": [job.request_id], **identity, "limit": SEND_IMAGES, "max_images_out": 2 * OUT_IMAGES}
    fan_out = {"source_version": "1", "token": uuid4(), "lease_seconds": 20.0}
    yield Question("room for more rows", "list_jobs_with_room", room, 1_000)
    yield Question("lease of a fan-out", "lease_fan_out", {**room, **fan_out}, 1_000)
    yield Question("rows to send", "list_rows_to_send", room, 1_000)

    window = {"older_than_seconds": 45, "limit": 500, "max_images_out": 2 * OUT_IMAGES}
    yield Question("sweep, missing sheets", "list_missing_sheets", window, 50)
    yield Question("sweep, unmoved jobs", "rewind_unmoved_jobs", window, 1_000)
    yield Question("sweep, stuck jobs", "list_stuck_jobs", window, 50)
    yield Question("sweep, stalled fan-outs", "list_stalled_fan_outs", window, 1_000)
    yield Question("sweep, expired leases", "list_expired_leases", window, 500)
    rung = [{"request_id": str(job.request_id), "row_number": job.done + n} for n in range(1, BATCH_ROWS + 1)]
    yield Question("sweep, leases cleared", "clear_expired_leases", {"rung": json.dumps(rung)}, 1_000)
    yield Question("sweep, finalizable jobs", "list_finalizable", window, 50)

    keys_of = {row: f"images/{job.request_id}/{row}-1-0123456789abcdef.jpg" for row in range(1, 101)}
    listed = [{"row_number": row, "position": 1, "object_key": key} for row, key in keys_of.items()]
    strays = {**identity, "objects": json.dumps(listed)}
    yield Question("strays among 100 objects", "list_named_objects", strays, 600)
    unnamed = [{**each, "position": 2, "object_key": f"{each['object_key']}.stray"} for each in listed]
    yield Question(
        "strays among 100 that no image names", "list_named_objects", {**strays, "objects": json.dumps(unnamed)}, 1_000
    )
    yield Question("known content", "find_known_content", {"content_key": PLACEHOLDER}, 20)


def explain_all(connection: psycopg2.extensions.connection, job: OpenJob) -> list[Plan]:
    """Run every statement and roll it back; once before, so that no page is dirty with hints."""
    for question in questions(job):
        explain(connection, question)
    return [explain(connection, question) for question in questions(job)]


def explain(connection: psycopg2.extensions.connection, question: Question) -> Plan:
    """One plan, with what it really did."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement(question.statement)}", question.parameters)
        text = "\n".join(line for (line,) in cursor.fetchall())
    connection.rollback()
    milliseconds = float(_found(r"Execution Time: ([0-9.]+)", text))
    # The first line of buffers is the whole statement's; planning has one of its own at the end.
    whole = _found(r"Buffers: shared ([^\n]*)", text.partition("Planning")[0])
    pages = sum(int(count) for count in re.findall(r"(?:hit|read)=(\d+)", whole))
    return Plan(question, text, pages, milliseconds)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else "0"


def _run(connection: psycopg2.extensions.connection, sql: str) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)


def _keep(images: int, plans: Mapping[str, list[Plan]]) -> None:
    BUILD.mkdir(exist_ok=True)
    pages = [
        f"## {plan.question.name} ({plan.question.statement}), {state}: {plan.pages} pages\n\n{plan.text}\n"
        for state, found in plans.items()
        for plan in found
    ]
    text = f"{images:,} images, a tenth of them of one open job.\n\n" + "\n".join(pages)
    (BUILD / "scale_plans.txt").write_text(text, encoding="utf-8")

"""The world comes to rest: all that waits is delivered, time passes, and then every promise must hold."""

import csv
import io
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from imagejobs.bucket import IMAGE_PREFIX, ObjectVersion
from imagejobs.errors import ImageAbandoned, JobCancelled
from imagejobs.steps.compress import MAX_CRASHES
from imagejobs.steps.sweep import MISSING_SHEET_SECONDS
from operations.objects import CHECKS
from operations.target import Target
from tests.model.cloud import Letter
from tests.model.origin import PICTURE
from tests.model.world import DEAD, ROWS, UPLOADS, World

MAX_RECEIVES = {UPLOADS: 5, ROWS: 10}  # as in the template
BATCH_ROWS = 10
# Three crashes of the same worker, four attempts with their rests, webhooks: what was begun has ended by then.
MAX_MINUTES = 20


def pass_round(world: World) -> None:
    """Everything is delivered that is visible; who has begun something is left to it."""
    for letter in _visible(world, UPLOADS):
        world.fan_out(letter, None).go_on()
    rows = _visible(world, ROWS)
    for start in range(0, len(rows), BATCH_ROWS):
        world.compress(rows[start : start + BATCH_ROWS], None).go_on()
    for letter in _visible(world, DEAD):
        world.bury(letter).go_on()
    for execution in list(world.step_functions.executions.values()):
        if execution.is_running and execution.waits:
            execution.wake()
        while execution.is_running and not execution.waits and not world.is_at_task(execution):
            world.task(execution).go_on()


def come_to_rest(world: World) -> Iterator[str]:
    """Go on until nothing is left to do; jobs that took too long."""
    world.origin.hook_status = 200
    _pass_minutes(world)
    late = "SELECT request_id::text FROM job_request WHERE settled_at IS NULL AND source_version IS NOT NULL"
    yield from (f"late: {request_id}" for (request_id,) in world.query(late))
    if not is_at_rest(world):
        # A file counts as missing; a message is shown again whose receiver died before it had begun a job.
        world.move_clock(MISSING_SHEET_SECONDS)
        _pass_minutes(world)
    if not is_at_rest(world):
        yield "something is left to do, and nobody does it"


def _pass_minutes(world: World) -> None:
    for _ in range(MAX_MINUTES):
        pass_round(world)
        if is_at_rest(world):
            return
        world.move_clock(60)
        world.sweep().go_on()


def is_at_rest(world: World) -> bool:
    """Whether nothing is left to do."""
    waiting = any(world.sqs.waiting_in(queue) for queue in (UPLOADS, ROWS, DEAD))
    running = any(execution.is_running for execution in world.step_functions.executions.values())
    return not (waiting or running or world.query("SELECT 1 FROM job_request WHERE settled_at IS NULL LIMIT 1"))


def broken_promises(world: World, url: str) -> Iterator[str]:
    """What does not hold of a world at rest."""
    yield from _violations(world, url)
    yield from _unjustified(world)
    yield from _wrong_results(world)
    yield from _wrong_events(world)


def _visible(world: World, queue: str) -> list[Letter]:
    """Those whose time it is, received once more; one that was received too often is dead."""
    visible = [letter for letter in world.sqs.waiting_in(queue) if letter.visible_at <= world.clock.seconds]
    for letter in visible:
        letter.receives += 1
        if letter.receives > MAX_RECEIVES.get(queue, letter.receives):
            world.dead_letter(letter)
    return [letter for letter in visible if not letter.is_deleted]


def _violations(world: World, url: str) -> Iterator[str]:
    """What any stack is checked for, in Postgres and in S3."""
    yield from world.violations(at_rest=True)
    session: Any = SimpleNamespace(client=lambda *_, **__: world.s3)
    for check in CHECKS:
        for violation in check(Target(url, {"bucket": "imagejobs"}, session, {})):
            if not (violation.startswith(tuple(world.unwritable)) or _is_known_stray(world, violation)):
                yield f"{check.__doc__} {violation}"


def _is_known_stray(world: World, key: str) -> bool:
    """Not promised: to find what a dying worker stores after its job has ended, or what Step Functions gave up on."""
    is_late = key in world.late and world.late[key].is_disturbed
    return key.startswith(IMAGE_PREFIX) and (is_late or key.split("/")[1] in world.unswept)


def _unjustified(world: World) -> Iterator[str]:
    """Images with an outcome that nothing has led to."""
    sql = """
        SELECT image.request_id::text, row_number, source_url, image.status, error_code, crashes,
               cancelled_at IS NOT NULL
        FROM compressed_images AS image JOIN job_request USING (request_id)
    """
    for request_id, row_number, url, status, error_code, crashes, cancelled in world.query(sql):
        is_justified = {
            PICTURE: PICTURE in world.origin.said[url],
            JobCancelled.code: cancelled,
            ImageAbandoned.code: crashes >= MAX_CRASHES or (request_id, row_number) in world.buried,
        }.get(error_code or PICTURE, error_code in world.origin.said[url])
        if status == "PENDING" or not is_justified:
            yield f"row {row_number} of {request_id}: {url} is {status} ({error_code}), {world.origin.said[url]}"


def _wrong_results(world: World) -> Iterator[str]:
    """Finished CSVs that say something else than their images."""
    jobs = """
        SELECT request_id::text, result_key, result_version, rows_total, CASE WHEN NOT dry_run THEN '' END
        FROM job_request WHERE result_key IS NOT NULL
    """
    images = """
        SELECT row_number, string_agg(coalesce(image_url, %s), ',' ORDER BY position),
               CASE count(*) FILTER (WHERE status = 'COMPLETED')
                   WHEN 0 THEN 'FAILED' WHEN count(*) THEN 'COMPLETED' ELSE 'PARTIAL' END
        FROM compressed_images WHERE request_id = %s GROUP BY row_number
    """
    for request_id, key, version, rows_total, no_url in world.query(jobs):
        text = world.s3.read(ObjectVersion(key, version)).decode()
        told = [(row.get("Output Image Urls"), row["Status"]) for row in csv.DictReader(io.StringIO(text))]
        known = {row_number: (urls, status) for row_number, urls, status in world.query(images, no_url, request_id)}
        expected = [known.get(row_number, (no_url, "FAILED")) for row_number in range(1, rows_total + 1)]
        if told != expected:
            yield f"the finished CSV of {request_id} says {told}, and not {expected}"


def _wrong_events(world: World) -> Iterator[str]:
    """Webhooks that changed their mind, or say something else than the generation's outcome, or were never sent."""
    sql = """
        SELECT format('evt_%s-%s', request_id, outcome.generation), outcome.status, webhook_url IS NOT NULL
               AND outcome.generation = job.generation
        FROM job_outcome AS outcome JOIN job_request AS job USING (request_id)
    """
    for event_id, status, is_due in world.query(sql):
        bodies = world.origin.events.pop(event_id, set())
        if len(bodies) > 1 or any(json.loads(body)["status"] != status for body in bodies) or (is_due and not bodies):
            yield f"{event_id}, {status}, was sent as {bodies}"
    if world.origin.events:
        yield f"nothing had ended when these were sent: {dict(world.origin.events)}"

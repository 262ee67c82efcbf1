"""Metrics: what was committed is counted, under the names and dimensions that alarms and dashboard look for."""

from itertools import count

import pytest

from imagejobs.bucket import ObjectVersion
from imagejobs.metrics import Metric
from imagejobs.queries import statement
from imagejobs.steps.sweep import MISSING_SHEET_SECONDS, STUCK_SECONDS
from tests.conftest import METRICS_NAMESPACE
from tests.integration.emf import EMITTED, WITH_CODE, metrics_in, series, sums, units_in
from tests.integration.handlers import (
    answer_webhook,
    api_event,
    close,
    completed,
    deliver,
    end_images,
    fanned_out,
    file_event,
    finish,
    load_event,
    row_body,
    sqs_event,
    upload_event,
)
from tests.integration.jobs import job_of, query, sheet, upload
from tests.integration.pipeline import Pipeline, shop, skip_delays
from tests.integration.postgres_proxy import proxy_before

A, B, C = (f"https://shop.example/{name}.jpg" for name in "abc")
HOOK = "https://shop.example/hook"


def age(connect, seconds):
    query(connect, "UPDATE job_request SET updated_at = updated_at - make_interval(secs => %s)", seconds)


@pytest.fixture
def pipeline(functions, connect, bucket, upload_queue, row_queue, postgres_host, state_dir, database_name, monkeypatch):
    """The pipeline, with every third COMMIT's reply lost when a test says so."""
    skip_delays(monkeypatch)
    directory = state_dir / database_name
    directory.mkdir()
    with proxy_before(postgres_host, directory) as proxy, shop(functions) as server:
        functions.values["DATABASE_DSN"] += f" host={proxy.host}"  # the last one counts
        yield Pipeline(functions, connect, bucket, upload_queue, row_queue, server), proxy


def two_jobs(pipeline):
    """Images that are done, that fail, whose URL comes again, and whose row is dead-lettered."""
    url = pipeline.shop.url
    sheets = [
        sheet(f"{url('/good-1')}, {url('/missing')}", url("/good-1"), url("/busy"), url("/good-2")),
        sheet(url("/missing-1")),
    ]
    jobs = [pipeline.upload(file, {"webhook_url": url("/hook"), "reuse": "true"}) for file in sheets]
    pipeline.run()
    return jobs


def truth(connect):
    """What Postgres says of all jobs, by the metrics' names."""
    ((done, reused, failed, before, after, cpu_ms),) = query(
        connect,
        "SELECT sum(images_completed), sum(images_reused), sum(images_failed), sum(bytes_before), sum(bytes_after), "
        "(SELECT sum(cpu_ms) FROM compressed_images) FROM job_request",
    )
    statuses = dict(query(connect, "SELECT status, count(*) FROM job_outcome GROUP BY status"))
    return {
        Metric.IMAGES_COMPLETED: done,
        Metric.IMAGES_REUSED: reused,
        Metric.IMAGES_FAILED: failed,
        Metric.BYTES_BEFORE: before,
        Metric.BYTES_AFTER: after,
        Metric.CODEC_CPU_MS: cpu_ms,
        Metric.JOBS_COMPLETED: statuses["COMPLETED"],
        Metric.JOBS_FAILED: statuses["FAILED"],
    }


def counted(output):
    """The sums over all services of what has no code."""
    found = sums(output)
    return {name: sum(v for (n, d), v in found.items() if n == name and len(d) == 1) for name in Metric}


def test_what_was_committed_is_counted(pipeline, connect, capsys):
    running, _ = pipeline
    two_jobs(running)

    output = capsys.readouterr().out
    expected = truth(connect)
    assert {name: counted(output)[name] for name in expected} == expected
    assert (expected[Metric.IMAGES_COMPLETED], expected[Metric.IMAGES_FAILED]) == (4, 2)
    assert sums(output)[series(Metric.IMAGES_FAILED, "compress", "origin_refused")] == 2


def test_a_commit_whose_reply_was_lost_is_counted_once_or_not_at_all(pipeline, connect, capsys):
    running, proxy = pipeline
    commits = count(1)
    proxy.loses_reply = lambda: next(commits) % 3 == 0
    for _ in range(3):
        two_jobs(running)

    found, expected = counted(capsys.readouterr().out), truth(connect)
    assert expected[Metric.IMAGES_COMPLETED] == 12
    assert expected[Metric.IMAGES_REUSED] >= 6
    assert [name for name in expected if found[name] > expected[name]] == []
    assert [name for name in expected if found[name] < expected[name]] != []


def test_every_metric_is_written_by_its_steps_and_under_no_other_name(
    functions, database, bucket, connect, row_queue, capsys
):
    """One of each thing that is counted; the alarms' test relies on the table."""
    with shop(functions) as server:
        key = "drop/a.csv"
        version = bucket.put(key, sheet(server.url("/good"), server.url("/missing"), server.url("/good-2")), "text/csv")
        functions.invoke("fan_out", file_event(ObjectVersion(key, version)))
        deliver(functions, "compress", row_queue)
        looked_at = fanned_out(functions, database, bucket, sheet(server.url("/good")), dry_run=True)
        functions.invoke("compress", sqs_event("compress", row_body(looked_at, 1)))
    ((done,),) = query(connect, "SELECT request_id FROM job_request WHERE NOT dry_run")
    close(functions, done)

    for dry_run in (False, True):
        cancelled = fanned_out(functions, database, bucket, sheet(A), dry_run=dry_run)
        functions.invoke("api", api_event("cancel", cancelled))
    looked_at = fanned_out(functions, database, bucket, sheet(B), dry_run=True)
    functions.invoke("bury", sqs_event("bury-row", row_body(looked_at, 1)))
    buried = fanned_out(functions, database, bucket, sheet(B), webhook_url=HOOK)
    functions.invoke("bury", sqs_event("bury-row", row_body(buried, 1)))
    answer_webhook(functions, {**close(functions, buried), "closed": last_attempt(functions, buried)}, 503)

    functions.invoke("api", upload_event(b"no sheet at all"))
    for number, step in enumerate(["fan_out", "bury"]):
        broken = ObjectVersion(f"drop/{number}.csv", bucket.put(f"drop/{number}.csv", b"\xff\xfe\x00", "text/csv"))
        functions.invoke(step, file_event(broken, "fan_out" if step == "fan_out" else "bury-upload"))
    upload(database, bucket, sheet(C))
    age(connect, MISSING_SHEET_SECONDS + 1)
    functions.invoke("sweep", load_event("sweep"))

    output = capsys.readouterr().out
    found = {(name, dict(dimensions)["service"]) for name, dimensions in sums(output)}
    assert found == {(name, service) for name, services in EMITTED.items() for service in services}
    assert {name for name, dimensions in sums(output) if len(dimensions) == 2} == WITH_CODE
    assert EMITTED.keys() == set(Metric)
    assert {
        directive["Namespace"] for line in metrics_in(output) for directive in line["_aws"]["CloudWatchMetrics"]
    } == {METRICS_NAMESPACE}
    units = dict.fromkeys((Metric.BYTES_BEFORE, Metric.BYTES_AFTER), "Bytes") | {Metric.CODEC_CPU_MS: "Milliseconds"}
    assert units_in(output) == {name: units.get(name, "Count") for name in Metric}


def last_attempt(functions, request_id):
    """What the state machine knows of the schedule's last attempt."""
    webhook = {"event_id": f"evt_{request_id}-1", "key": "webhooks/evt.json", "version": "1"}
    return {"attempt": 10, "webhook": webhook}


def test_an_image_that_another_ended_is_not_counted(functions, database, bucket, connect, row_queue, capsys):
    """Its lease was taken over while it was at work: the outcome that comes late changes nothing."""
    with shop(functions) as server:
        request_id = fanned_out(functions, database, bucket, sheet(server.url("/good")))
        taken = []
        answer = server.answer

        def take_over(request, wire):
            query(connect, "UPDATE compressed_images SET leased_until = now() - interval '1 second'")
            token, (image,) = lease_again(database, request_id)
            end_images(database, token, completed(image))
            taken.append(image)
            answer(request, wire)

        server.answer = take_over
        deliver(functions, "compress", row_queue)

    assert taken
    assert job_of(database, request_id)["images_completed"] == 1
    assert sums(capsys.readouterr().out)[series(Metric.IMAGES_COMPLETED, "compress")] == 0


def lease_again(database, request_id):
    keys = {"request_ids": [request_id], "row_numbers": [1], "crashed": True, "limit": 1}
    token = "11111111-2222-4333-8444-555555555555"
    return token, database.fetch_all("lease_images", {**keys, "token": token, "lease_seconds": 60})


def test_a_job_that_is_closed_again_is_counted_once(functions, database, bucket, capsys):
    request_id = fanned_out(functions, database, bucket, sheet(A))
    finish(database, request_id)
    for _ in range(2):
        close(functions, request_id)

    output = capsys.readouterr().out
    assert sums(output) == {series(Metric.JOBS_COMPLETED, "finalize"): 1}
    (line,) = metrics_in(output)
    assert (line["request_id"], line["generation"]) == (str(request_id), 1)


def test_a_webhook_is_exhausted_once_however_often_that_is_recorded(functions, database, bucket, capsys):
    request_id = fanned_out(functions, database, bucket, sheet(A), webhook_url=HOOK)
    finish(database, request_id)
    state = close(functions, request_id)
    for attempt, status_code in ((1, 503), (2, 200), (3, 410)):
        answer_webhook(functions, {**state, "closed": {**state["closed"], "attempt": attempt}}, status_code)
    capsys.readouterr()

    for _ in range(2):
        answer_webhook(functions, {**state, "closed": last_attempt(functions, request_id)}, 503)

    assert sums(capsys.readouterr().out) == {series(Metric.WEBHOOKS_EXHAUSTED, "finalize"): 1}


def test_a_sheet_is_refused_once_however_often_it_comes(functions, bucket, capsys):
    source = ObjectVersion("drop/a.csv", bucket.put("drop/a.csv", b"\xff\xfe\x00", "text/csv"))
    for _ in range(2):
        functions.invoke("fan_out", file_event(source))

    assert sums(capsys.readouterr().out) == {series(Metric.SHEETS_REFUSED, "fan_out"): 1}


@pytest.mark.parametrize(("seconds", "stuck"), [(STUCK_SECONDS - 60, 0), (STUCK_SECONDS + 60, 1)])
def test_an_open_job_that_has_not_moved_for_an_hour_is_stuck(
    functions, database, bucket, connect, capsys, seconds, stuck
):
    request_id = fanned_out(functions, database, bucket, sheet(A))
    ended = fanned_out(functions, database, bucket, sheet(B), webhook_url=HOOK)
    finish(database, ended)
    close(functions, ended)
    age(connect, seconds)
    capsys.readouterr()

    functions.invoke("sweep", load_event("sweep"))

    (line,) = metrics_in(capsys.readouterr().out)
    assert (line["JobsStuck"], line["request_ids"]) == ([stuck], [str(request_id)] * stuck)


def test_a_sweep_without_its_database_says_nothing(functions, monkeypatch, capsys):
    skip_delays(monkeypatch)
    functions.values["DATABASE_DSN"] += " port=1"

    functions.invoke("sweep", load_event("sweep"))

    assert metrics_in(capsys.readouterr().out) == []


def test_stuck_jobs_are_found_without_going_through_those_that_are_settled(connect):
    """Every minute, however many jobs there have been."""
    query(
        connect,
        "INSERT INTO job_request (request_id, owner, source_key, status, finalizable_at, settled_at, updated_at) "
        "SELECT gen_random_uuid(), 'shop', n::text, 'COMPLETED', now(), now(), now() - interval '1 day' "
        "FROM generate_series(1, 20000) AS n; ANALYZE job_request",
    )
    window = {"older_than_seconds": STUCK_SECONDS, "limit": 500}
    connection = connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement('list_stuck_jobs')}", window)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    connection.close()

    assert "job_request_unsettled" in plan
    assert "Seq Scan" not in plan

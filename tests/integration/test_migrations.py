"""migrate: from any older schema to the newest, once, whoever runs it; and what the schema itself refuses."""

import json
from collections.abc import Iterator
from contextlib import closing
from threading import Event, Thread
from uuid import uuid4

import psycopg2
import pytest

from imagejobs import database as database_module
from imagejobs import migrations
from imagejobs.custom_resource import AnswerRefused, answer
from imagejobs.database import Database
from imagejobs.migrations import migrate
from tests.integration.handlers import load_event, wait_until_blocked
from tests.integration.jobs import query
from tests.unit.fetch_helpers import http_answer, origin, says

NAMES = [name for _, name, _ in migrations.migrations()]

# What the schema is, apart from the order in which it was made.
SCHEMA = """
SELECT 'column', table_name, column_name, data_type, is_nullable, column_default, is_identity
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL, NULL
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index', tablename, indexname, indexdef, NULL, NULL, NULL FROM pg_indexes WHERE schemaname = 'public'
ORDER BY 1, 2, 3
"""


@pytest.fixture
def connect_empty(postgres_host, connect) -> Iterator:
    """Opens connections to a database in which nothing has ever been made."""
    name = f"empty_{uuid4().hex}"
    _administrate(connect, f"CREATE DATABASE {name} TEMPLATE template0")
    yield lambda: psycopg2.connect(host=postgres_host, user="postgres", dbname=name)
    _administrate(connect, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty(connect_empty) -> Iterator[Database]:
    database = Database(connect_empty)
    yield database
    database.close()


def _administrate(connect, statement):
    connection = connect()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def schema_of(connect):
    return query(connect, SCHEMA)


# ── Applying ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_migrations_are_numbered_without_gaps():
    assert [version for version, _, _ in migrations.migrations()] == list(range(1, len(NAMES) + 1))


def test_all_at_once_from_empty_is_the_schema_that_one_at_a_time_makes(empty, connect_empty, connect, monkeypatch):
    everything = migrations.migrations()
    applied = []
    for count in range(1, len(everything) + 1):
        monkeypatch.setattr(migrations, "migrations", lambda count=count: everything[:count])
        applied += migrate(empty)

    assert applied == NAMES
    assert schema_of(connect_empty) == schema_of(connect)


def test_a_table_that_somebody_keeps_is_not_waited_for_with_everybody_behind(database, connect, monkeypatch):
    """What waits for a table has all later statements wait, old code's among them."""
    monkeypatch.setattr(database_module, "ATTEMPTS", 1)
    monkeypatch.setattr(migrations, "_LEDGER", migrations._LEDGER.replace("'5s'", "'50ms'"))
    following = (len(NAMES) + 1, "9999_newer.sql", "ALTER TABLE job_request ADD COLUMN newer int")
    everything = [*migrations.migrations(), following]
    monkeypatch.setattr(migrations, "migrations", lambda: everything)
    with closing(connect()) as keeper, keeper.cursor() as cursor:
        cursor.execute("SELECT FROM job_request")

        with pytest.raises(psycopg2.errors.LockNotAvailable):
            migrate(database)

    assert migrate(database) == ["9999_newer.sql"]


# ── CloudFormation asks ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def cloudformation():
    """Where CloudFormation waits for an answer."""
    with origin(says(http_answer())) as server:
        yield server


def invoke(functions, cloudformation, **changed):
    """What CloudFormation is told; the request is that of events/migrate.json but for what is changed."""
    event = {**load_event("migrate"), "ResponseURL": cloudformation.url("/answer?signature=1"), **changed}
    assert functions.invoke("migrate", event) is None
    request = cloudformation.requests[-1]
    assert (request.line, request.headers.get("content-type")) == ("PUT /answer?signature=1 HTTP/1.1", "")
    answer = json.loads(request.body)
    assert {name: answer.pop(name) for name in COPIED} == {name: event[name] for name in COPIED}
    assert answer.pop("Data") == {"RequestId": event["RequestId"]}  # by which functions get a new version
    return answer


COPIED = ("StackId", "RequestId", "LogicalResourceId")
SUCCESS = {"Status": "SUCCESS", "Reason": "", "PhysicalResourceId": "schema"}


@pytest.fixture
def behind(functions, connect_empty):
    """The functions of a stack whose database is new."""
    ((name,),) = query(connect_empty, "SELECT current_database()")
    functions.values["DATABASE_DSN"] += f" dbname={name}"  # the last one counts
    return functions


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_deployment_migrates_and_says_so(behind, cloudformation, connect_empty, connect, request_type):
    assert invoke(behind, cloudformation, RequestType=request_type) == SUCCESS

    assert schema_of(connect_empty) == schema_of(connect)
    assert invoke(behind, cloudformation, RequestType="Update") == SUCCESS


def test_the_end_of_a_stack_leaves_the_data(functions, cloudformation, connect):
    before = schema_of(connect)

    assert invoke(functions, cloudformation, RequestType="Delete") == SUCCESS

    assert schema_of(connect) == before


def test_code_that_goes_back_leaves_the_newer_schema(functions, cloudformation, connect):
    """As when a deployment is taken back after its migration."""
    query(connect, "INSERT INTO schema_migration (version, name) VALUES (9999, '9999_newer.sql')")

    assert invoke(functions, cloudformation, RequestType="Update") == SUCCESS


def test_a_migration_that_fails_fails_the_deployment_with_the_reason(functions, cloudformation, monkeypatch):
    monkeypatch.setattr(database_module, "ATTEMPTS", 1)
    functions.values["DATABASE_DSN"] = "host=/nowhere"

    answer = invoke(functions, cloudformation)

    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("OperationalError: connection to server on socket")
    assert answer["PhysicalResourceId"] == "schema"


@pytest.mark.parametrize("character", ["a", '"', "\a", "\N{SNOWMAN}", "\N{GRINNING FACE}"])
def test_a_long_reason_fits_into_an_answer(cloudformation, character):
    answer({**load_event("migrate"), "ResponseURL": cloudformation.url("/")}, ValueError(character * 5000))

    body = cloudformation.requests[-1].body
    assert len(body) < 4096
    assert json.loads(body)["Reason"].endswith(character * 100)


def test_an_answer_that_is_not_taken_is_an_error():
    with origin(says(http_answer(status="403 Forbidden"))) as server, pytest.raises(AnswerRefused, match="403"):
        answer({**load_event("migrate"), "ResponseURL": server.url("/")})


# ── Twice ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_time_changes_nothing(database, connect):
    before = schema_of(connect), query(connect, "SELECT * FROM schema_migration")

    assert migrate(database) == []

    assert (schema_of(connect), query(connect, "SELECT * FROM schema_migration")) == before


def test_a_database_that_is_behind_gets_only_what_it_lacks(database, connect, monkeypatch):
    following = (len(NAMES) + 1, "9999_newer.sql", "CREATE TABLE newer (id int)")
    everything = [*migrations.migrations(), following]
    monkeypatch.setattr(migrations, "migrations", lambda: everything)

    assert migrate(database) == ["9999_newer.sql"]
    assert migrate(database) == []
    assert query(connect, "SELECT count(*) FROM newer") == [(0,)]


def test_a_migration_that_fails_leaves_nothing_of_any(empty, connect_empty, monkeypatch):
    broken = (len(NAMES) + 1, "9999_broken.sql", "CREATE TABLE half (id int); SELECT no_such_function()")
    everything = [*migrations.migrations(), broken]
    monkeypatch.setattr(migrations, "migrations", lambda: everything)

    with pytest.raises(psycopg2.errors.UndefinedFunction):
        migrate(empty)

    assert schema_of(connect_empty) == []


def test_of_two_at_once_on_an_empty_database_one_applies_and_the_other_waits(connect_empty, monkeypatch):
    """The first deployment, retried by an impatient hand."""
    assert sorted(migrate_at_once(connect_empty, monkeypatch)) == [[], NAMES]


def test_of_two_at_once_on_a_database_in_use_one_applies_and_the_other_waits(connect, monkeypatch):
    following = (len(NAMES) + 1, "9999_newer.sql", "CREATE TABLE newer (id int)")
    everything = [*migrations.migrations(), following]
    monkeypatch.setattr(migrations, "migrations", lambda: everything)

    assert sorted(migrate_at_once(connect, monkeypatch)) == [[], ["9999_newer.sql"]]


def migrate_at_once(connect, monkeypatch):
    """What two runs return of which the second begins while the first is in the midst of it; or their failures."""
    everything, in_the_midst, go_on = migrations.migrations(), Event(), Event()

    def slowly():
        in_the_midst.set()
        assert go_on.wait(20)
        return everything

    monkeypatch.setattr(migrations, "migrations", slowly)
    results = []

    def run():
        database = Database(connect)
        try:
            results.append(migrate(database))
        except Exception as failure:  # noqa: BLE001 - compared by the test
            results.append([repr(failure)])
        finally:
            database.close()

    first, second = Thread(target=run), Thread(target=run)
    first.start()
    assert in_the_midst.wait(20)
    second.start()
    wait_until_blocked(connect)
    go_on.set()
    for thread in (first, second):
        thread.join(30)
    return results


# ── The tables that users know ──────────────────────────────────────────────────────────────────────────────────────


def test_the_tables_have_the_columns_that_their_users_know(connect):
    known = {
        ("job_request", "request_id", "uuid", "NO"),
        ("job_request", "status", "text", "NO"),
        ("job_request", "created_at", "timestamp with time zone", "NO"),
        ("job_request", "updated_at", "timestamp with time zone", "NO"),
        ("job_request", "completion_percentage", "integer", "NO"),
        ("job_request", "error_message", "text", "YES"),
        ("compressed_images", "image_id", "uuid", "NO"),
        ("compressed_images", "request_id", "uuid", "NO"),
        ("compressed_images", "image_url", "text", "YES"),
        ("compressed_images", "created_at", "timestamp with time zone", "NO"),
    }
    columns = query(connect, "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns")

    assert known <= set(columns)


def test_a_deleted_job_takes_all_that_is_its_own_along(connect):
    query(connect, EVERYTHING)

    query(connect, "DELETE FROM job_request")

    assert [query(connect, f"SELECT 1 FROM {table}") for table in BELONGINGS] == [[]] * len(BELONGINGS)


def test_a_new_job_is_one_that_nobody_has_worked_on(connect):
    query(connect, JOB + IMAGE)

    job = (
        "SELECT status, generation, finalizer_run, first_attempt, fan_out_attempt, images_kept, "
        "cancelled_at, settled_at, swept_at FROM job_request"
    )
    assert query(connect, job) == [("PENDING", 1, 1, 1, 0, 0, None, None, None)]
    image = "SELECT status, attempt, crashes, not_before <= now(), lease_token FROM compressed_images"
    assert query(connect, image) == [("PENDING", 0, 0, True, None)]


# ── What the schema refuses ─────────────────────────────────────────────────────────────────────────────────────────

JOB = """
INSERT INTO job_request (request_id, owner, source_key, source_version, rows_staged, rows_total, images_total)
VALUES ('3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10', 'shop', 'uploads/a.csv', '1', 1, 1, 2);
"""
IMAGE = """
INSERT INTO compressed_images (request_id, row_number, position, product_name, source_url)
VALUES ('3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10', 1, 1, 'Chair', 'https://shop.example/a.jpg');
"""
ROW_ERROR = """
INSERT INTO row_error VALUES ('3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10', 1, 2, 'No.');
"""
DELIVERY = """
INSERT INTO webhook_delivery (request_id, event_id, attempt, outcome)
VALUES ('3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10', 'evt_1', 1, 'retry');
"""
DONE = (
    "image_url = 'https://images.example/a.jpg', object_key = 'images/a.jpg', format = 'jpeg', "
    "outcome = 'smaller', width = 3, height = 2, bytes_before = 9, bytes_after = 9"
)
TOLD = "error_code = 'origin_refused', error_message = 'The origin answered 404.'"
OUTCOME = """
INSERT INTO job_outcome (request_id, generation, status)
VALUES ('3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10', 1, 'COMPLETED');
"""
EVENT = """
INSERT INTO job_event (request_id, last_number, image_ids)
VALUES ('3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10', 2, ARRAY['4f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10']::uuid[]);
"""
USAGE = """
INSERT INTO caller_usage (owner, day, images) VALUES ('shop', '2026-11-22', 0);
INSERT INTO caller_rate (owner, minute, requests) VALUES ('shop', now(), 1);
"""
HUMAN = "human_key = 'a', human_version = '1', human_url = 'b'"
CHECKED = "format = 'jpeg', outcome = 'checked', width = 1, height = 1, bytes_before = 10"
KEYS = "url_key = gen_random_uuid(), content_key = gen_random_uuid()"
LEASED = "lease_token = gen_random_uuid(), leased_until = now()"

ILLEGAL = [
    ("job_request", "status = 'DONE'"),
    ("job_request", "status = 'pending'"),
    ("job_request", "completion_percentage = -1"),
    ("job_request", "completion_percentage = 101, status = 'COMPLETED', finalizable_at = now()"),
    ("job_request", "completion_percentage = 100"),
    ("job_request", "completion_percentage = 100, status = 'PROCESSING', finalizable_at = now()"),
    ("job_request", "status = 'COMPLETED'"),
    ("job_request", "status = 'FAILED'"),
    ("job_request", "images_completed = 2, images_failed = 1"),
    ("job_request", "images_completed = 1, images_total = NULL"),
    ("job_request", "rows_sent = 2"),
    ("job_request", "fan_out_token = gen_random_uuid()"),
    ("job_request", "fan_out_leased_until = now()"),
    ("job_request", "settled_at = now()"),
    ("job_request", "settled_at = now(), status = 'PROCESSING', finalizable_at = now()"),
    ("job_request", "images_kept = 1"),
    ("job_request", "images_completed = 1, images_kept = 2"),
    ("job_request", "first_attempt = 0"),
    ("job_request", "images_completed = 1, images_unchanged = 2"),
    ("job_request", "images_completed = 1, images_reused = 2"),
    ("job_request", "images_completed = 2, images_reused = 1, images_credited = 2"),
    ("job_request", "idempotency_key = 'a'"),
    ("job_request", "upload_sha256 = 'a'"),
    ("job_request", "daily_images = -1"),
    ("job_request", "event_count = -1"),
    ("job_event", "image_ids = '{}'"),
    ("job_event", "last_number = 501, image_ids = array_fill(gen_random_uuid(), ARRAY[501])"),
    ("job_event", "last_number = 0"),
    ("job_request", "report_key = 'reports/a-1.html'"),
    ("job_request", "report_version = 'v1'"),
    ("job_request", "preflight = '{}'"),
    ("caller_usage", "images = -1"),
    ("caller_usage", "images_checked = -1"),
    ("caller_rate", "requests = 0"),
    ("job_outcome", "generation = 0"),
    ("job_outcome", "status = 'PROCESSING'"),
    ("compressed_images", "row_number = 0"),
    ("compressed_images", "position = 0"),
    ("compressed_images", "status = 'PROCESSING'"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}".replace("smaller", "larger")),
    ("compressed_images", f"status = 'COMPLETED', {DONE}".replace("bytes_after = 9", "bytes_after = 10")),
    ("compressed_images", "status = 'COMPLETED'"),
    ("compressed_images", "status = 'COMPLETED', image_url = 'https://images.example/a.jpg'"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}".replace(", bytes_after = 9", "")),
    ("compressed_images", "object_key = 'images/a.jpg'"),
    ("compressed_images", DONE),
    ("compressed_images", f"status = 'FAILED', {TOLD}, {DONE}"),
    ("compressed_images", "status = 'FAILED'"),
    ("compressed_images", "status = 'FAILED', error_code = 'origin_refused'"),
    ("compressed_images", TOLD),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, {TOLD}"),
    ("compressed_images", "cpu_ms = 5"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, cpu_ms = -1"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, encoder_quality = 101"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, encoder = 'jpeg'".replace("smaller", "unchanged")),
    ("compressed_images", "score = 100"),
    ("compressed_images", f"status = 'FAILED', {TOLD}, content = 'graphic'"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, score = 0.99"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, score = 100.01"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, score = 'NaN'"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, score = 99.99".replace("smaller", "unchanged")),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, content = 'drawing'"),
    ("compressed_images", "perceptual_hash = 1"),
    ("compressed_images", HUMAN),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, {HUMAN}".replace(", human_version = '1'", "")),
    ("compressed_images", f"{KEYS}"),
    ("compressed_images", f"status = 'FAILED', {TOLD}, {KEYS}"),
    ("compressed_images", f"status = 'FAILED', {TOLD}, reused = 'same_content'"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, reused = 'unchanged'"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, url_key = gen_random_uuid()"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, content_key = gen_random_uuid()"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, etag = 'a'"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, last_modified = 'a'"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, validated_url = 'a'"),
    ("compressed_images", CHECKED),
    ("compressed_images", f"status = 'FAILED', {TOLD}, {CHECKED}"),
    ("compressed_images", f"status = 'COMPLETED', {CHECKED}".replace(", bytes_before = 10", "")),
    ("compressed_images", f"status = 'COMPLETED', {CHECKED}, object_key = 'images/a.jpg'"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}".replace("smaller", "checked")),
    ("compressed_images", f"status = 'COMPLETED', {CHECKED}, cpu_ms = 0"),
    ("compressed_images", f"status = 'COMPLETED', {CHECKED}, {KEYS}"),
    ("compressed_images", "lease_token = gen_random_uuid()"),
    ("compressed_images", "leased_until = now()"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, {LEASED}"),
    ("compressed_images", f"status = 'FAILED', {TOLD}, {LEASED}"),
    ("compressed_images", "same_as_row_number = 1, row_number = 2"),
    ("compressed_images", "same_as_row_number = 2, same_as_position = 1, row_number = 2, position = 1"),
    ("compressed_images", f"same_as_row_number = 1, same_as_position = 1, row_number = 2, {LEASED}"),
    ("job_request", "corrections_version = '1'"),
    ("job_request", "corrections_sha256 = 'a'"),
    ("row_error", "row_number = 0"),
    ("row_error", "line_number = row_number"),
    ("webhook_delivery", "attempt = 0"),
    ("webhook_delivery", "outcome = 'failed'"),
]

LEGAL = [
    ("job_request", "status = 'PROCESSING', completion_percentage = 99, finalizable_at = now()"),
    ("job_request", "status = 'COMPLETED', completion_percentage = 100, finalizable_at = now()"),
    ("job_request", "status = 'FAILED', completion_percentage = 100, finalizable_at = now()"),
    ("job_request", "status = 'COMPLETED', finalizable_at = now(), settled_at = now()"),
    ("job_request", "status = 'FAILED', finalizable_at = now(), settled_at = now(), finalizer_run = 2"),
    ("job_request", "images_completed = 1, images_failed = 1, rows_sent = 1"),
    ("job_request", "fan_out_token = gen_random_uuid(), fan_out_leased_until = now()"),
    (
        "job_request",
        "images_completed = 2, images_unchanged = 2, images_kept = 2, first_attempt = 2, cancelled_at = now()",
    ),
    (
        "job_request",
        "images_completed = 2, images_reused = 2, images_credited = 1, counted_on = NULL",
    ),
    ("job_request", "idempotency_key = 'a', upload_sha256 = 'b'"),
    ("job_event", "last_number = 500, image_ids = array_fill(gen_random_uuid(), ARRAY[500])"),
    ("job_request", "report_key = 'reports/a-1.html', report_version = 'v1'"),
    ("job_request", "dry_run = true, preflight = '{}'"),
    ("job_outcome", "generation = 2, status = 'FAILED', error_message = 'cancelled'"),
    ("compressed_images", LEASED),
    ("compressed_images", f"status = 'COMPLETED', {DONE}"),
    (
        "compressed_images",
        f"status = 'COMPLETED', {DONE}, encoder = 'avif', cpu_ms = 5".replace("smaller", "converted"),
    ),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, score = 75, content = 'photograph', perceptual_hash = -1"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, score = 100".replace("smaller", "unchanged")),
    ("compressed_images", f"status = 'FAILED', {TOLD}"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, reused = 'not_modified', {HUMAN}"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, {KEYS}, reused = 'same_content', etag = 'a'"),
    ("compressed_images", f"status = 'COMPLETED', {DONE}, {KEYS}, last_modified = 'a', validated_url = 'b'"),
    ("compressed_images", f"status = 'COMPLETED', {CHECKED}, reused = 'not_modified'"),
    ("compressed_images", "same_as_row_number = 1, same_as_position = 1, position = 2"),
    ("webhook_delivery", "outcome = 'exhausted', status_code = 500"),
]


KEYED = """
INSERT INTO job_request (request_id, owner, source_key, idempotency_key, upload_sha256)
VALUES ('5f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10', 'shop', 'uploads/keyed.csv', 'key-1', 'a');
"""
BELONGINGS = ["compressed_images", "row_error", "webhook_delivery", "job_outcome", "job_event"]
EVERYTHING = JOB + IMAGE + ROW_ERROR + DELIVERY + OUTCOME + EVENT + USAGE


def refusals_of(connect):
    """The name of the constraint that refuses each illegal state, None for one that is let in."""
    query(connect, EVERYTHING)
    return {(table, change): refusal_of(connect, table, change) for table, change in ILLEGAL}


def refusal_of(connect, table, change):
    try:
        query(connect, f"UPDATE {table} SET {change}")
    except psycopg2.errors.CheckViolation as violation:
        return violation.diag.constraint_name
    return None


def test_every_illegal_state_is_refused_and_every_check_refuses_some(connect):
    refusals = refusals_of(connect)
    checks = query(
        connect, "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
    )

    assert [state for state, name in refusals.items() if name is None] == []
    assert {name for (name,) in checks} == set(refusals.values())


def test_every_legal_state_is_let_in(connect):
    query(connect, EVERYTHING)

    for table, change in LEGAL:
        with connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {change}")
            connection.rollback()
        connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        JOB,
        JOB.replace("3f0c9e5e", "4f0c9e5e"),
        IMAGE,
        DELIVERY,
        OUTCOME,
        EVENT,
        KEYED,
        IMAGE.replace("3f0c9e5e", "4f0c9e5e"),
        DELIVERY.replace("3f0c9e5e", "4f0c9e5e").replace("evt_1", "evt_2"),
        OUTCOME.replace("3f0c9e5e", "4f0c9e5e"),
        EVENT.replace("3f0c9e5e", "4f0c9e5e"),
    ],
    ids=[
        "same job",
        "same version of a file",
        "same image",
        "same attempt",
        "same generation",
        "same number",
        "same key of the same owner",
        "image of no job",
        "attempt of no job",
        "outcome of no job",
        "event of no job",
    ],
)
def test_no_row_comes_twice_or_without_its_job(connect, statement):
    query(connect, EVERYTHING + KEYED.replace("5f0c9e5e", "6f0c9e5e"))

    with pytest.raises((psycopg2.errors.UniqueViolation, psycopg2.errors.ForeignKeyViolation)):
        query(connect, statement)

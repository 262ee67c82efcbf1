"""The connection to Postgres: what it repeats, what it does not, and what it leaves behind."""

import re
import traceback
from io import StringIO
from threading import Barrier, Thread
from uuid import uuid4

import psycopg2
import pytest

from imagejobs import database as database_module
from imagejobs.database import ATTEMPTS, Database, StatementFailed
from tests.integration.jobs import job_of, query, upload


@pytest.fixture(autouse=True)
def no_delays(monkeypatch):
    monkeypatch.setattr(database_module, "FIRST_DELAY_SECONDS", 0)


@pytest.fixture
def counters(connect):
    """A table with two rows to count in."""
    query(connect, "CREATE TABLE counter (id int PRIMARY KEY, value int NOT NULL DEFAULT 0)")
    query(connect, "INSERT INTO counter (id) VALUES (1), (2)")


def count(transaction, row=1):
    transaction.run_script(f"UPDATE counter SET value = value + 1 WHERE id = {row}")


def counted(connect):
    return [value for (value,) in query(connect, "SELECT value FROM counter ORDER BY id")]


def backend_of(transaction):
    transaction.run_script("SELECT pg_backend_pid() AS pid")
    return transaction._cursor.fetchone()["pid"]


class Failing:
    """A unit of work that fails so many times before it goes through."""

    def __init__(self, failures, fail):
        self.failures, self.fail, self.runs = failures, fail, 0

    def __call__(self, transaction):
        self.runs += 1
        count(transaction)
        if self.runs <= self.failures:
            self.fail(transaction)
        return self.runs


def terminate(connect):
    """Makes a failure in which the administrator ends the work's own connection."""

    def fail(transaction):
        query(connect, "SELECT pg_terminate_backend(%s, 5000)", backend_of_elsewhere(transaction))
        transaction.run_script("SELECT 1")

    def backend_of_elsewhere(transaction):
        return transaction._cursor.connection.get_backend_pid()

    return fail


def raises(error):
    def fail(_transaction):
        raise error

    return fail


# ── What is repeated ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("counters")
def test_work_is_committed_once_it_is_done(database, connect):
    assert database.transact(Failing(0, None)) == 1
    assert counted(connect) == [1, 0]


@pytest.mark.usefixtures("counters")
@pytest.mark.parametrize("failures", [1, ATTEMPTS - 1])
def test_work_on_a_connection_that_was_cut_runs_again(database, connect, failures):
    assert database.transact(Failing(failures, terminate(connect))) == failures + 1

    assert counted(connect) == [1, 0]


@pytest.mark.usefixtures("counters")
def test_a_connection_that_was_cut_while_idle_is_opened_anew(database, connect):
    before = database.transact(backend_of)
    query(connect, "SELECT pg_terminate_backend(%s, 5000)", before)

    database.transact(count)

    assert database.transact(backend_of) != before
    assert counted(connect) == [1, 0]


@pytest.mark.usefixtures("counters")
def test_work_whose_commit_was_cut_runs_again(postgres_host, database_name, connect):
    """The server has not committed: the next run does. Were its reply lost instead, the work's guards would tell."""
    connections, parameters = [], {"user": "postgres", "dbname": database_name}

    class CutAtCommit(psycopg2.extensions.connection):
        def commit(self):
            if len(connections) == 1:
                query(connect, "SELECT pg_terminate_backend(%s, 5000)", self.get_backend_pid())
            super().commit()

    def open_connection():
        connections.append(psycopg2.connect(host=postgres_host, **parameters, connection_factory=CutAtCommit))
        return connections[-1]

    database = Database(open_connection)
    work = Failing(0, None)
    database.transact(work)
    database.close()

    assert work.runs == 2
    assert counted(connect) == [1, 0]


@pytest.mark.usefixtures("counters")
@pytest.mark.parametrize(
    "error", [psycopg2.errors.SerializationFailure, psycopg2.errors.DeadlockDetected, psycopg2.InterfaceError]
)
def test_a_conflict_runs_the_work_again(database, connect, error):
    assert database.transact(Failing(2, raises(error()))) == 3

    assert counted(connect) == [1, 0]


@pytest.mark.usefixtures("counters")
def test_of_two_in_a_deadlock_both_get_through(connect):
    query(connect, f"ALTER DATABASE {query(connect, 'SELECT current_database()')[0][0]} SET deadlock_timeout = '20ms'")
    first_locked, runs, failures = Barrier(2), [], []

    def run(*rows):
        database, waited = Database(connect), []

        def work(transaction):
            runs.append(rows)
            count(transaction, rows[0])
            if not waited:
                waited.append(True)
                first_locked.wait(20)
            count(transaction, rows[1])

        try:
            database.transact(work)
        except Exception as failure:  # noqa: BLE001 - shown by the assertion below
            failures.append(failure)
        finally:
            database.close()

    threads = [Thread(target=run, args=(1, 2)), Thread(target=run, args=(2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert len(runs) >= 3
    assert counted(connect) == [2, 2]


# ── What is given up, and what is not repeated ──────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("counters")
def test_it_gives_up_after_all_attempts_and_leaves_nothing(database, connect):
    work = Failing(ATTEMPTS, terminate(connect))

    with pytest.raises((psycopg2.OperationalError, psycopg2.InterfaceError)):
        database.transact(work)

    assert work.runs == ATTEMPTS
    assert counted(connect) == [0, 0]


def test_a_server_that_is_not_there_is_tried_so_many_times():
    tries = []

    def connect_nowhere():
        tries.append(1)
        return psycopg2.connect(host="/nowhere")

    with pytest.raises(psycopg2.OperationalError, match="nowhere"):
        Database(connect_nowhere).execute("get_job")

    assert len(tries) == ATTEMPTS


def test_a_server_that_comes_back_is_found(connect):
    tries = []

    def connect_late():
        tries.append(1)
        return psycopg2.connect(host="/nowhere") if len(tries) < ATTEMPTS else connect()

    database = Database(connect_late)
    assert database.fetch_all("list_migrations")
    database.close()


def test_repeats_wait_longer_each_time_and_not_all_alike(monkeypatch):
    delays = []
    monkeypatch.setattr(database_module, "FIRST_DELAY_SECONDS", 0.1)
    monkeypatch.setattr(database_module.time, "sleep", delays.append)

    with pytest.raises(psycopg2.OperationalError):
        Database(lambda: psycopg2.connect(host="/nowhere")).execute("get_job")

    assert len(delays) == ATTEMPTS - 1
    for delay, planned in zip(delays, (0.1, 0.2, 0.4, 0.8), strict=True):
        assert 0.5 * planned <= delay <= 1.5 * planned


@pytest.mark.usefixtures("counters")
@pytest.mark.parametrize("error", [ValueError("ours"), psycopg2.errors.UniqueViolation(), KeyboardInterrupt()])
def test_any_other_exception_rolls_back_and_is_not_retried(database, connect, error):
    work = Failing(ATTEMPTS, raises(error))

    with pytest.raises(type(error)):
        database.transact(work)

    assert work.runs == 1
    assert counted(connect) == [0, 0]


@pytest.mark.usefixtures("counters")
def test_after_an_exception_the_connection_is_good_for_more(database, connect):
    with pytest.raises(psycopg2.errors.DivisionByZero):
        database.transact(lambda transaction: transaction.run_script("SELECT 1 / 0"))

    database.transact(count)

    assert counted(connect) == [1, 0]


# ── What a refused statement says ───────────────────────────────────────────────────────────────────────────────────

SECRET_URL = "https://shop.example/a.jpg?token=s3cret"


WITHOUT_KEY = {"idempotency_key": None, "upload_sha256": None, "layout": "{}", "daily_images": None}


def break_check(transaction):
    job = {"request_id": uuid4(), "source_key": SECRET_URL, "source_version": "1"}
    columns = {"owner": "shop", "options": "{}", "webhook_url": SECRET_URL, **job, **WITHOUT_KEY}
    transaction.execute("insert_job", columns)
    run = {"event_id": "evt_1", "attempt": 0, "status_code": None, "error_message": SECRET_URL, "outcome": "retry"}
    transaction.execute("record_delivery", {**job, **run})


def break_copy(transaction):
    transaction.copy("copy_images", StringIO(f"{uuid4()}\t1\t1\t1\tChair\t{SECRET_URL}\n"))


def break_copy_format(transaction):
    transaction.copy("copy_images", StringIO(f"{uuid4()}\tone\t1\t1\tChair\t{SECRET_URL}\n"))


def break_json(transaction):
    options = {"options": f'{{"a": "{SECRET_URL}\\u0000"', "owner": "shop", "webhook_url": None}
    source = {"source_key": "uploads/a.csv", "source_version": None}
    transaction.execute("insert_job", {"request_id": uuid4(), **source, **options, **WITHOUT_KEY})


def break_null(transaction):
    job = {"request_id": uuid4(), "owner": None, "source_key": SECRET_URL, "options": "{}", "webhook_url": SECRET_URL}
    transaction.fetch_all("insert_job", {**job, "source_version": None, **WITHOUT_KEY})


@pytest.mark.parametrize(
    ("work", "statement"),
    [
        (break_check, "record_delivery"),
        (break_copy, "copy_images"),
        (break_copy_format, "copy_images"),
        (break_json, "insert_job"),
        (break_null, "insert_job"),
    ],
)
def test_a_refused_statement_says_which_and_why_without_the_rows_values(database, connect, work, statement):
    """Postgres quotes the row, and where in it the trouble is; a log would keep a URL with its query."""
    with pytest.raises(StatementFailed) as caught:
        database.transact(work)

    assert str(caught.value).startswith(f"{statement}: ")
    assert len(str(caught.value)) > len(statement) + 20
    logged = "".join(traceback.format_exception(caught.value))
    assert not re.search("s3cret|shop\\.example|DETAIL|CONTEXT", logged)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)
    assert query(connect, "SELECT 1 FROM job_request") == []


def test_a_refused_statement_is_not_run_again(database):
    runs = []

    def work(transaction):
        runs.append(1)
        break_null(transaction)

    with pytest.raises(StatementFailed):
        database.transact(work)

    assert len(runs) == 1
    assert database.fetch_all("list_migrations")


# ── What it leaves behind ───────────────────────────────────────────────────────────────────────────────────────────


def test_no_transaction_stays_open_between_calls(database, connect):
    pid = database.transact(backend_of)

    assert query(connect, "SELECT state FROM pg_stat_activity WHERE pid = %s", pid) == [("idle",)]


def test_it_connects_when_first_used_and_keeps_one_connection(connect):
    opened = []

    def counting():
        opened.append(1)
        return connect()

    database = Database(counting)
    assert opened == []
    pids = {database.transact(backend_of) for _ in range(3)}
    database.close()

    assert len(pids) == len(opened) == 1


def test_a_closed_database_opens_again_when_used(database):
    database.fetch_all("list_migrations")
    database.close()
    database.close()

    assert database.fetch_all("list_migrations")


def test_a_session_setting_does_not_outlive_its_transaction(database, bucket):
    """Behind RDS Proxy another session may be the next one: nothing may depend on what this one was told."""
    request_id, _ = upload(database, bucket, b"")

    with pytest.raises(ValueError, match="ours"):
        database.transact(lambda transaction: (transaction.run_script("SET search_path TO nowhere"), raise_ours()))

    assert job_of(database, request_id)["status"] == "PENDING"


def raise_ours():
    raise ValueError("ours")


def test_statements_take_their_parameters_by_name(database):
    unknown = {"request_id": "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10"}

    assert database.fetch_one("get_job", unknown) is None
    assert database.fetch_all("get_job", unknown) == []
    assert database.execute("delete_pending_job", unknown) == 0


def test_what_is_looked_up_needs_no_transaction_and_the_next_one_has_its_own(database, connect, counters, bucket):
    request_id, _ = upload(database, bucket, b"")
    assert database.look_up("get_job", {"request_id": request_id})["request_id"] == request_id
    assert database.look_up("get_job", {"request_id": uuid4()}) is None
    states = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert query(connect, states) == [("idle",)]

    with pytest.raises(ZeroDivisionError):
        database.transact(lambda transaction: (count(transaction), 1 / 0))
    assert counted(connect) == [0, 0]


def test_a_look_up_outlives_its_connection(database, connect, bucket):
    request_id, _ = upload(database, bucket, b"")
    query(
        connect,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()",
    )

    assert database.look_up("get_job", {"request_id": request_id})


def test_threads_that_share_it_wait_for_each_others_transactions(database, connect, counters):
    """None is in the other's transaction: what fails takes nothing of another's back."""
    barrier = Barrier(8)

    def work(fails):
        barrier.wait(20)
        for _ in range(20):
            try:
                database.transact(lambda transaction: (count(transaction), 1 / (not fails)))
            except ZeroDivisionError:
                pass

    threads = [Thread(target=work, args=(number % 2 == 0,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert counted(connect) == [80, 0]

"""No statement but the bulk loader's is so long that a proxy keeps its connection to one client for good."""

import json

import pytest

from imagejobs.database import Transaction, json_arrays
from imagejobs.steps.compress import LEASE_IMAGES
from imagejobs.steps.sweep import LIMIT
from tests.integration.handlers import file_event, load_event, row_body, sqs_event
from tests.integration.jobs import images_of, query, sheet, upload, urls
from tests.unit.fetch_helpers import http_answer, origin, says

# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
MOST_BYTES = 16 * 1024
LONG_NAME = "x" * 1_000


@pytest.fixture
def sent(monkeypatch) -> dict[str, int]:
    """Bytes of the longest of each statement that goes to the database, its values in it."""
    longest: dict[str, int] = {}
    execute = Transaction.execute

    def spy(self, name, parameters=None):
        count = execute(self, name, parameters)
        longest[name] = max(longest.get(name, 0), len(self._cursor.query))
        return count

    monkeypatch.setattr(Transaction, "execute", spy)
    return longest


@pytest.fixture
def job(functions, database, bucket):
    """Fans out a sheet of so many rows; its id."""

    def fan_out(rows: int, url: str):
        request_id, source = upload(database, bucket, sheet(*urls(rows, url)))
        functions.invoke("fan_out", file_event(source))
        return request_id

    return fan_out


def test_of_a_batch_of_images_with_long_urls(functions, job, sent, database):
    """None is there, and each one's message names its URL."""
    batch = range(1, LEASE_IMAGES + 1)
    with origin(says(http_answer(status="404 Not Found"))) as shop:
        functions.values["PRIVATE_ORIGINS"] = shop.origin
        request_id = job(LEASE_IMAGES, shop.url(f"/{LONG_NAME}.jpg"))
        sent.clear()

        functions.invoke("compress", sqs_event("compress", *(row_body(request_id, number) for number in batch)))

    assert {image["status"] for image in images_of(database, request_id)} == {"FAILED"}
    assert LONG_NAME[:100] in images_of(database, request_id)[0]["error_message"]
    assert {name: size for name, size in sent.items() if size > MOST_BYTES} == {}
    assert sent.keys() >= {"lease_images", "finish_images", "finish_repeated_urls", "list_unfinished_rows"}


def test_of_a_sweep_over_as_many_leases_as_it_takes(functions, job, sent, connect):
    job(LIMIT, "https://shop.example/a.jpg")
    query(connect, "UPDATE compressed_images SET attempt = 1, lease_token = gen_random_uuid(), leased_until = now()")
    sent.clear()

    assert functions.invoke("sweep", load_event("sweep"))["expired_leases"] == LIMIT

    assert query(connect, "SELECT count(*) FROM compressed_images WHERE lease_token IS NOT NULL") == [(0,)]
    assert {name: size for name, size in sent.items() if size > MOST_BYTES} == {}


@pytest.mark.parametrize("character", ["a", "'", "\\", '"', "é"])
def test_arrays_hold_all_records_in_order_and_fit(character, database):
    records = [{"number": number, "text": character * 100} for number in range(300)]

    arrays = list(json_arrays(records))

    assert [record for array in arrays for record in json.loads(array)] == records
    assert len(arrays) > 1
    assert database.transact(lambda transaction: max(literal_bytes(transaction, array) for array in arrays)) <= 12_300


def literal_bytes(transaction, text):
    return len(transaction._cursor.mogrify("%s", (text,)))


def test_a_record_that_is_too_large_comes_alone():
    small, large = {"text": "a"}, {"text": "a" * 20_000}

    assert list(json_arrays([small, large, small])) == [json.dumps([each]) for each in (small, large, small)]


def test_no_records_make_no_array():
    assert list(json_arrays([])) == []

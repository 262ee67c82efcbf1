"""The second way in: a CSV dropped into the bucket becomes a job, and its finished CSV stands under results/."""

import csv
import io
import json
from uuid import uuid4

import pytest
import requests

from tests.e2e.customer import HEADER, until


def results(client, name):
    """The objects under results/ that belong to a dropped name."""
    listed = client.aws("s3").list_objects_v2(Bucket=client.bucket, Prefix=f"results/{name}")
    return [described["Key"] for described in listed.get("Contents", [])]


def drop(client, name, sheet, **metadata):
    """Drop a file under a name of this run; the object that comes of it, and its content."""
    dropped = f"e2e {uuid4()}/{name}"
    client.aws("s3").put_object(Bucket=client.bucket, Key=f"drop/{dropped}", Body=sheet, Metadata=metadata)
    (key,) = until(lambda: results(client, dropped))
    content = client.aws("s3").get_object(Bucket=client.bucket, Key=key)["Body"].read().decode()
    return key.removeprefix(f"results/{dropped}"), content


@pytest.mark.parametrize("name", ["spring.csv", "Frühling 2026/shoes + hats, 50%.csv"])
def test_a_dropped_csv_has_its_result_under_the_same_name(client, shop, name):
    ending, finished = drop(client, name, f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n".encode())

    (row,) = csv.DictReader(io.StringIO(finished, newline=""))
    assert (ending, row["Status"]) == ("", "COMPLETED")
    assert requests.get(row["Output Image Urls"], timeout=30).status_code == 200


def test_a_dropped_file_that_cannot_be_read_fails_with_the_reason_beside_the_results(client, webhook_url):
    sheet = b"S. No.;Product Name;Input Image Urls\n1;Vase;x\n"

    ending, reason = drop(client, "broken.csv", sheet, **{"webhook-url": webhook_url})

    assert ending == ".error.json"
    told = json.loads(reason)
    assert "semicolon" in told["message"]
    assert client.accepted_event(told["request_id"]).items() >= {"status": "FAILED", "result_url": None}.items()


@pytest.mark.local
def test_a_dropped_csv_becomes_a_job_of_the_drop_owner(client, shop):
    sheet = f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n".encode()
    key = "drop/owned.csv"
    version = client.aws("s3").put_object(Bucket=client.bucket, Key=key, Body=sheet)["VersionId"]

    job = "SELECT request_id::text, owner, source_version FROM job_request WHERE source_key = %s"
    ((request_id, owner, source_version),) = until(lambda: client.query(job, key))

    assert (owner, source_version) == ("local", version)
    assert client.ended(request_id)["status"] == "COMPLETED"
    stored = client.aws("s3").get_object(Bucket=client.bucket, Key="results/owned.csv")["Body"].read()
    assert stored.decode() == client.finished_csv(request_id)

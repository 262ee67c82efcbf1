"""The second way in: a CSV dropped into the bucket becomes a job, and its finished CSV stands under results/."""

import json

import pytest

from tests.e2e.customer import HEADER, until


def results(client, name):
    """The objects under results/ that belong to a dropped name."""
    listed = client.aws("s3").list_objects_v2(Bucket=client.info.bucket, Prefix=f"results/{name}")
    return [described["Key"] for described in listed.get("Contents", [])]


def drop(client, name, sheet, **metadata):
    key = f"{client.info.drop_prefix}{name}"
    client.aws("s3").put_object(Bucket=client.info.bucket, Key=key, Body=sheet, Metadata=metadata)
    (row,) = until(lambda: client.query("SELECT request_id::text, owner FROM job_request WHERE source_key = %s", key))
    return row


@pytest.mark.parametrize("name", ["spring.csv", "Frühling 2026/shoes + hats, 50%.csv"])
def test_a_dropped_csv_becomes_a_job_with_its_result_under_the_same_name(client, shop, name):
    request_id, owner = drop(client, name, f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n".encode())

    assert client.ended(request_id)["status"] == "COMPLETED"

    assert owner == "local"
    assert results(client, name) == [f"results/{name}"]
    stored = client.aws("s3").get_object(Bucket=client.info.bucket, Key=f"results/{name}")["Body"].read()
    assert stored.decode() == client.finished_csv(request_id)


def test_a_dropped_file_that_cannot_be_read_fails_with_the_reason_beside_the_results(client, shop):
    webhook = shop.url("/hooks/dropped")
    request_id, _ = drop(
        client, "broken.csv", b"S. No.;Product Name;Input Image Urls\n1;Vase;x\n", **{"webhook-url": webhook}
    )

    job = client.ended(request_id)

    assert (job["status"], job["result_url"]) == ("FAILED", None)
    assert "semicolon" in job["error_message"]
    assert results(client, "broken.csv") == ["results/broken.csv.error.json"]
    body = client.aws("s3").get_object(Bucket=client.info.bucket, Key="results/broken.csv.error.json")["Body"].read()
    assert json.loads(body)["message"] == job["error_message"]
    (event,) = until(lambda: shop.webhooks["/hooks/dropped"])
    assert json.loads(event.body)["status"] == "FAILED"

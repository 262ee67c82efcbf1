"""IAM is enforced here as on AWS: take one permission of a function away, and its call is refused until it is back."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from tests.e2e.customer import HEADER, Client, until

pytestmark = pytest.mark.local


@contextmanager
def without(client: Client, function: str, action: str, folder: str) -> Iterator[None]:
    """Take a permission on a folder of the bucket away from a function's role until the block ends."""
    iam = client.aws("iam")
    (role,) = (found["RoleName"] for found in iam.list_roles()["Roles"] if f"-{function}Role-" in found["RoleName"])
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    others = [
        statement
        for statement in policy["Statement"]
        if action not in statement["Action"] or f"/{folder}/*" not in json.dumps(statement["Resource"])
    ]
    assert len(others) == len(policy["Statement"]) - 1
    try:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps({**policy, "Statement": others}))
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))


def refusals(client: Client, step: str, action: str) -> int:
    """How often a function has logged so far that it may not do that."""
    events = client.aws("logs").filter_log_events(logGroupName=f"/imagejobs/imagejobs/{step}")["events"]
    return "\n".join(event["message"] for event in events).count(f"is not authorized to perform: {action} ")


@pytest.fixture
def sheet(shop):
    return f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n"


def test_without_leave_to_store_the_csv_an_upload_fails_and_leaves_no_job(client, sheet):
    jobs = client.query("SELECT count(*) FROM job_request")
    with without(client, "ApiFunction", "s3:PutObject", "uploads"):
        answer = client.request("POST", "/upload", files={"file": ("products.csv", sheet)})

    assert answer.status_code == 500
    assert set(answer.json()) == {"code", "message"}
    assert client.query("SELECT count(*) FROM job_request") == jobs
    assert refusals(client, "api", "s3:PutObject")
    assert client.ended(client.upload(sheet))["status"] == "COMPLETED"


def test_without_leave_to_store_images_none_is_stored_and_with_it_the_same_job_goes_on(client, sheet):
    before = refusals(client, "compress", "s3:PutObject")
    with without(client, "CompressFunction", "s3:PutObject", "images"):
        request_id = client.upload(sheet)
        until(lambda: refusals(client, "compress", "s3:PutObject") > before)
        assert client.status(request_id)["status"] == "PROCESSING"

    assert client.ended(request_id)["status"] == "COMPLETED"
    assert [image["status"] for image in client.images(request_id)] == ["COMPLETED"]


def test_without_leave_to_read_results_a_link_that_was_signed_for_one_opens_nothing(client, sheet):
    request_id = client.upload(sheet)
    client.ended(request_id)
    link = client.request("GET", f"/job/{request_id}/result").headers["Location"]

    with without(client, "ApiFunction", "s3:GetObjectVersion", "results"):
        refused = requests.get(link, timeout=30)

    assert refused.status_code == 403
    assert requests.get(link, timeout=30).status_code == 200

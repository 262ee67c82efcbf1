"""Who gets in: no token, no answer; the bucket stays private; errors are JSON, API Gateway's own included."""

from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests

from operations import tokens
from tests.e2e.customer import until


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic dGVzdDp0ZXN0"}])
@pytest.mark.parametrize("path", ["/job/status/00000000-0000-0000-0000-000000000000", "/upload"])
def test_a_call_without_a_valid_token_is_401_json(client, headers, path):
    method = "POST" if path == "/upload" else "GET"

    answer = client.request(method, path, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"


def test_one_token_opens_every_route_in_a_row(client):
    unknown = "00000000-0000-0000-0000-000000000000"
    for path in (f"/job/status/{unknown}", f"/job/{unknown}/result", f"/job/{unknown}/images"):
        answer = client.request("GET", path)
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/health", "application/json"),
        ("/openapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
    ],
)
def test_health_and_the_description_need_no_token(client, path, media_type):
    answer = client.request("GET", path, headers={})

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)


@pytest.mark.local
def test_a_token_made_by_the_command_is_let_in_within_its_limits(client, state_dir, capsys):
    arguments = ["--stack", str(state_dir / "stack" / "stack.json"), "create", "small", "--requests-per-minute", "5"]
    assert tokens.main(arguments) == 0
    token = capsys.readouterr().out.split()[1]
    headers = {"Authorization": f"Bearer {token}"}

    def code():
        path = "/job/status/00000000-0000-0000-0000-000000000000"
        return client.request("GET", path, headers=headers).json()["code"]

    until(lambda: code() == "job_not_found")
    until(lambda: code() == "throttled")
    assert client.request("GET", "/job/status/x").json()["code"] == "request_id_invalid"


def test_a_malformed_id_is_400_json(client):
    answer = client.request("GET", "/job/status/not-an-id")

    assert (answer.status_code, answer.json()["code"]) == (400, "request_id_invalid")


def test_a_path_that_is_not_there_is_json(client):
    answer = client.request("GET", "/jobs/nowhere")

    assert answer.status_code in {403, 404}
    assert set(answer.json()) == {"code", "message"}


@pytest.mark.local
def test_the_bucket_answers_nobody_without_credentials(client, stack):
    client.aws("s3").put_object(Bucket=client.bucket, Key="images/private.jpg", Body=b"x")

    direct = requests.get(f"{stack.endpoint_url}/{client.bucket}/images/private.jpg", timeout=10)

    assert direct.status_code == 403


@pytest.mark.local
@pytest.mark.parametrize(
    "path", ["/results/private.csv", "/", "/images/../results/private.csv", "/images/%2e%2e/results/private.csv"]
)
def test_the_public_image_server_serves_images_alone(client, stack, path):
    for key in ("results/private.csv", "images/public.jpg"):
        client.aws("s3").put_object(Bucket=client.bucket, Key=key, Body=b"x")
    assert requests.get(f"{stack.image_base_url}/images/public.jpg", timeout=10).status_code == 200

    address = urlsplit(stack.image_base_url)
    connection = HTTPConnection(address.hostname, address.port, timeout=10)  # sends the path as it stands
    connection.request("GET", path)

    assert connection.getresponse().status in {403, 404}
    connection.close()

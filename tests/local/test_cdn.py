"""The image server: what CloudFront serves, and nothing else."""

from functools import partial
from http.client import HTTPConnection
from io import BytesIO

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from local.cdn import _ImageHandler, http_server

HEADERS = {"ContentType": "image/webp", "ContentLength": 4, "CacheControl": "max-age=1", "ETag": '"e"'}


@pytest.fixture
def s3():
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        yield stubber


@pytest.fixture
def request_path(s3):
    with http_server(0, partial(_ImageHandler, s3.client, "bucket")) as port:

        def send(method, path):
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer, body

        yield send


def test_an_image_is_served_with_its_own_headers_and_the_distributions(s3, request_path):
    body = StreamingBody(BytesIO(b"webp"), 4)
    s3.add_response("get_object", {**HEADERS, "Body": body}, {"Bucket": "bucket", "Key": "images/a b.webp"})

    answer, content = request_path("GET", "/images/a%20b.webp?x=1")

    assert (answer.status, content) == (200, b"webp")
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["Cache-Control"] == "max-age=1"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_head_has_no_body(s3, request_path):
    s3.add_response("head_object", HEADERS, {"Bucket": "bucket", "Key": "images/a.webp"})

    answer, content = request_path("HEAD", "/images/a.webp")

    assert (answer.status, content, answer.headers["Content-Length"]) == (200, b"", "4")


def test_an_image_that_is_not_there_is_404(s3, request_path):
    s3.add_client_error("get_object", "NoSuchKey", http_status_code=404)

    assert request_path("GET", "/images/none.webp")[0].status == 404


@pytest.mark.parametrize("path", ["/", "/results/x.csv", "/images", "/x/images/a.webp"])
def test_nothing_but_images_is_served(request_path, path):
    assert request_path("GET", path)[0].status == 404

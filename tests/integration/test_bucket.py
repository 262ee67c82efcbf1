"""S3: what is stored, opened by version, linked to, and told of in events."""

import json
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from imagejobs.bucket import PART_BYTES, RESULT_LINK_SECONDS, Bucket, ObjectVersion
from imagejobs.settings import SettingMissing
from tests.integration.handlers import keys_in, load_event, s3_event

MIB = 1024 * 1024


def stored(bucket, key):
    return bucket._client.get_object(Bucket=bucket.name, Key=key)


def open_uploads(bucket):
    return bucket._client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])


# ── Storing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_object_keeps_its_type_and_caching(bucket):
    version = bucket.put("images/a.jpg", b"picture", "image/jpeg", "public, max-age=31536000, immutable")
    bucket.put("uploads/a.csv", b"sheet", "text/csv")

    image, sheet = stored(bucket, "images/a.jpg"), stored(bucket, "uploads/a.csv")
    assert image["Body"].read() == b"picture"
    assert (image["ContentType"], image["CacheControl"]) == ("image/jpeg", "public, max-age=31536000, immutable")
    assert image["VersionId"] == version
    assert "CacheControl" not in sheet


@pytest.mark.parametrize(
    ("chunk_bytes", "count"),
    [(10, 1), (10, 3), (MIB, 8), (MIB, 9), (3 * MIB, 6), (PART_BYTES, 2), (20 * MIB, 1)],
    ids=["tiny", "few tiny", "one whole part", "a bit more", "odd chunks", "chunks of a part", "one large chunk"],
)
def test_parts_are_joined_in_order(bucket, chunk_bytes, count):
    chunks = [bytes([number]) * chunk_bytes for number in range(1, count + 1)]

    version = bucket.put_parts("results/a.csv", iter(chunks), "text/csv; charset=utf-8")

    answer = stored(bucket, "results/a.csv")
    assert answer["Body"].read() == b"".join(chunks)
    assert (answer["VersionId"], answer["ContentType"]) == (version, "text/csv; charset=utf-8")
    assert open_uploads(bucket) == []


def test_no_part_but_the_last_is_smaller_than_s3_takes(bucket, monkeypatch):
    sizes = []
    upload_part = bucket._client.upload_part

    def measure(**part):
        sizes.append(len(part["Body"]))
        return upload_part(**part)

    monkeypatch.setattr(bucket._client, "upload_part", measure)
    bucket.put_parts("results/a.csv", (b"x" * 700_000 for _ in range(30)), "text/csv")

    assert sum(sizes) == 21_000_000
    assert len(sizes) == 3
    assert min(sizes[:-1]) >= 5 * MIB


class Crash(BaseException):
    """Stands for an invocation that ends in the midst of an upload."""


@pytest.mark.parametrize("error", [ValueError("ours"), Crash()])
def test_an_upload_that_fails_midway_leaves_no_object_and_no_parts(bucket, error):
    def failing():
        yield b"x" * PART_BYTES
        raise error

    with pytest.raises(type(error)):
        bucket.put_parts("results/a.csv", failing(), "text/csv")

    assert keys_in(bucket) == []
    assert open_uploads(bucket) == []


def test_an_upload_that_s3_refuses_leaves_no_parts(bucket, monkeypatch):
    def refuse(**_part):
        raise ClientError({"Error": {"Code": "SlowDown", "Message": "Reduce your request rate."}}, "UploadPart")

    monkeypatch.setattr(bucket._client, "upload_part", refuse)
    with pytest.raises(ClientError, match="SlowDown"):
        bucket.put_parts("results/a.csv", [b"x"], "text/csv")

    assert open_uploads(bucket) == []


def test_a_deleted_object_is_gone_and_its_versions_stay(bucket):
    source = ObjectVersion("results/a.csv", bucket.put("results/a.csv", b"1", "text/csv"))
    bucket.put("results/b.csv", b"2", "text/csv")

    bucket.delete("results/a.csv")

    assert keys_in(bucket) == ["results/b.csv"]
    assert bucket.open(source).read() == b"1"


def test_deleting_what_is_not_there_does_nothing(bucket):
    bucket.delete("results/a.csv")
    bucket.delete("results/a.csv")

    assert keys_in(bucket) == []


# ── Opening ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_version_opens_by_itself(bucket):
    first, second = (ObjectVersion("drop/a.csv", bucket.put("drop/a.csv", body, "text/csv")) for body in (b"1", b"2"))

    assert first.version != second.version
    assert bucket.open(first).read() == b"1"
    assert bucket.open(second).read() == b"2"


def test_an_object_opens_as_a_stream(bucket):
    source = ObjectVersion("drop/a.csv", bucket.put("drop/a.csv", b"x" * MIB, "text/csv"))

    stream = bucket.open(source)

    assert len(stream.read(1000)) == 1000
    assert len(stream.read()) == MIB - 1000


def test_metadata_names_are_lower_case_and_of_the_version(bucket):
    described = {"Webhook-URL": "https://shop.example/hook", "quality": "70"}
    answer = bucket._client.put_object(Bucket=bucket.name, Key="drop/a.csv", Body=b"", Metadata=described)
    bucket.put("drop/a.csv", b"", "text/csv")

    metadata = bucket.metadata(ObjectVersion("drop/a.csv", answer["VersionId"]))

    assert metadata == {"webhook-url": "https://shop.example/hook", "quality": "70"}


# ── Links ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["products.csv", 'Küche + "Bäder".csv', "日本語.csv", "a;b\r\nc.csv"])
def test_a_link_downloads_the_version_under_its_name_without_credentials(bucket, name):
    key = f"results/{name}"
    source = ObjectVersion(key, bucket.put(key, b"finished", "text/csv; charset=utf-8"))
    bucket.put(key, b"another", "text/csv")

    downloaded = requests.get(bucket.link(source, name), timeout=5)

    assert downloaded.status_code == 200
    assert downloaded.content == b"finished"
    disposition = downloaded.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename*=UTF-8''")
    assert unquote(disposition.rpartition("''")[2]) == name


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "eu-central-1"])
def test_a_link_is_signed_as_every_bucket_of_today_wants_it_and_for_an_hour(aws, monkeypatch, region):
    """S3 takes Signature Version 4 alone for buckets made after June 2020; botocore's links default to version 2."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.setenv("BUCKET_NAME", "imagejobs-dev-123456789012")

    link = Bucket.from_environment().link(ObjectVersion("results/a.csv", "1"), "a.csv")

    asked = parse_qs(urlsplit(link).query)
    assert asked.get("X-Amz-Algorithm") == ["AWS4-HMAC-SHA256"]
    assert asked["X-Amz-Expires"] == [str(RESULT_LINK_SECONDS)] == ["3600"]
    assert asked["versionId"] == ["1"]


def test_the_bucket_is_the_one_that_the_template_names(aws, monkeypatch):
    monkeypatch.delenv("BUCKET_NAME", raising=False)
    with pytest.raises(SettingMissing, match="BUCKET_NAME"):
        Bucket.from_environment()

    monkeypatch.setenv("BUCKET_NAME", "imagejobs-dev")
    assert Bucket.from_environment(max_connections=3).name == "imagejobs-dev"


# ── Events ──────────────────────────────────────────────────────────────────────────────────────────────────────────

KEYS = [
    "uploads/3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10.csv",
    "drop/two words.csv",
    "drop/1+1=2.csv",
    "drop/Küche + Bäder/März 2026.csv",
    "drop/100%25 & more?.csv",
    "drop/日本語 🪑.csv",
    "drop/a\tb.csv",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_survives_s3s_event_and_our_own(key):
    source = ObjectVersion(key, "096fKKXTRTtl3on89fVO.nfljtsv6qko")

    for event in (s3_event(source), source.as_event()):
        (record,) = event["Records"]
        assert ObjectVersion.from_event_record(record) == source


def test_the_event_of_s3_is_read():
    (record,) = json.loads(load_event("fan_out")["Records"][0]["body"])["Records"]

    assert ObjectVersion.from_event_record(record) == ObjectVersion(
        "drop/Küche + Bäder/products 2026.csv", "096fKKXTRTtl3on89fVO.nfljtsv6qko"
    )


def test_an_object_without_versions_has_the_version_that_s3_calls_null():
    record = {"s3": {"object": {"key": "drop/a.csv"}}}

    assert ObjectVersion.from_event_record(record) == ObjectVersion("drop/a.csv", "null")


def test_a_bucket_without_versions_works_as_well(aws):
    client = boto3.client("s3")
    client.create_bucket(Bucket="plain")
    bucket = Bucket(client, "plain")

    assert bucket.put("drop/a.csv", b"1", "text/csv") == "null"
    assert bucket.put_parts("results/a.csv", [b"2"], "text/csv") == "null"

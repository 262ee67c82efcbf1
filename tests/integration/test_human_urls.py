"""Human URLs: a copy of each image under the sheet's own numbers, exactly one version of which is the image's."""

import boto3
import pytest
from psycopg2.extras import Json

from imagejobs.bucket import Bucket
from imagejobs.jobs import MAX_HUMAN_NAME_BYTES, human_key
from tests.integration.handlers import api_event, close, content_of, fanned_out, row_body, sqs_event
from tests.integration.jobs import images_of, query, sheet
from tests.integration.test_corrections import corrected
from tests.unit.fetch_helpers import http_answer, says, scripted_origin, serves
from tests.unit.image_helpers import encode, noise

OLD, NEW = (encode(noise((64, 48), seed=seed), "JPEG", quality=97) for seed in (1, 2))
JOB = "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10"


@pytest.fixture
def shop(functions):
    """An origin with one picture everywhere, and an entity tag."""
    with scripted_origin(serves(OLD, ETag='"old"')) as server:
        functions.values["PRIVATE_ORIGINS"] = server.origin
        yield server


@pytest.fixture
def begin(functions, database, bucket):
    """Fans out a sheet with one row for each cell; the job's id."""

    def run(*cells, **options):
        options = {"human_urls": "true", **options}
        return fanned_out(functions, database, bucket, sheet(*cells), options=Json(options))

    return run


@pytest.fixture
def compress(functions):
    """A worker's work on the first two rows of a job."""

    def run(request_id):
        rows = [row_body(request_id, number) for number in (1, 2)]
        return functions.invoke("compress", sqs_event("compress", *rows))

    return run


def objects(bucket):
    """Each image's object with its newest content and caching."""
    listing = boto3.client("s3").list_objects_v2(Bucket=bucket.name, Prefix="images/").get("Contents", [])
    answers = {each["Key"]: boto3.client("s3").get_object(Bucket=bucket.name, Key=each["Key"]) for each in listing}
    return {
        key: (answer["Body"].read(), answer["ContentType"], answer["CacheControl"]) for key, answer in answers.items()
    }


def versions(bucket):
    listing = boto3.client("s3").list_object_versions(Bucket=bucket.name, Prefix="images/")
    return sorted((found["Key"].rpartition("/")[2], found["VersionId"]) for found in listing.get("Versions", []))


def key_of(url):
    return url.removeprefix("https://images.example/")


# ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("serial_number", "is_mapped", "name"),
    [
        ("MUG-7_a.b~", False, "MUG-7_a.b~/2"),
        ("A/B 1", False, "A%2FB%201/2"),
        ("A%2FB%201", False, "A%252FB%25201/2"),
        ("Ü", False, "%C3%9C/2"),
        (".", False, "%2E/2"),
        ("..", False, "%2E%2E/2"),
        ("x" * MAX_HUMAN_NAME_BYTES, False, "x" * MAX_HUMAN_NAME_BYTES + "/2"),
        ("x" * 201, False, "x" * MAX_HUMAN_NAME_BYTES + "/3-2"),
        ("mug", True, "mug/3-2"),
        ("", True, "%/3-2"),
        (None, False, "%/3-2"),
    ],
)
def test_a_name_is_the_serial_number_and_a_place(serial_number, is_mapped, name):
    image = {"request_id": JOB, "row_number": 3, "position": 2, "serial_number": serial_number, "is_mapped": is_mapped}
    assert human_key(image, "webp") == f"images/{JOB}/{name}.webp"


# ── Copies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_image_has_a_second_object_under_the_sheets_own_numbers(functions, begin, compress, shop, bucket):
    """That of a URL that stands in the sheet twice, too."""
    request_id = begin(f"{shop.url('/a')},{shop.url('/b')}", shop.url("/a"))

    compress(request_id)

    images = content_of(functions.invoke("api", api_event("images", request_id)))["images"]
    folder = f"https://images.example/images/{request_id}"
    assert [image["human_url"] for image in images] == [f"{folder}/{name}.jpg" for name in ("1/1", "1/2", "2/1")]
    found = objects(bucket)
    for image in images:
        body, content_type, caching = found[key_of(image["human_url"])]
        assert (body, content_type) == found[key_of(image["image_url"])][:2]
        assert caching == "public, max-age=300"


def test_a_name_that_is_encoded_is_encoded_once_more_in_its_url(begin, compress, shop, database, bucket, connect):
    request_id = begin(shop.url("/a"))
    query(connect, "UPDATE compressed_images SET serial_number = 'A/B'")

    compress(request_id)

    (image,) = images_of(database, request_id)
    assert image["human_url"] == f"https://images.example/images/{request_id}/A%252FB/1.jpg"
    assert f"images/{request_id}/A%2FB/1.jpg" in objects(bucket)


def test_what_is_reused_has_a_human_url_in_each_job(begin, compress, shop, database, bucket):
    jobs = [begin(shop.url("/a")), begin(shop.url("/a"))]
    for request_id in jobs:
        compress(request_id)

    first, second = (images_of(database, request_id)[0] for request_id in jobs)
    assert (second["reused"], second["image_url"]) == ("not_modified", first["image_url"])
    assert second["human_url"] == f"https://images.example/images/{jobs[1]}/1/1.jpg"
    assert len(objects(bucket)) == 3


def test_nothing_is_copied_unless_it_is_asked_for(begin, compress, shop, database, bucket):
    request_id = begin(shop.url("/a"), human_urls="false")

    compress(request_id)

    assert images_of(database, request_id)[0]["human_url"] is None
    assert len(objects(bucket)) == 1


def test_a_serial_number_that_is_another_rows_after_a_correction_names_that_rows_images(
    functions, begin, compress, shop, database, bucket
):
    """The image that had it before is done again under its own."""
    gone = says(http_answer(status="404 Not Found"))
    shop.answers |= {"/gone": [gone], "/new": [gone, serves(NEW)]}
    request_id = begin(f"{shop.url('/gone')},{shop.url('/a')}", f"{shop.url('/b')},{shop.url('/new')}")
    compress(request_id)
    close(functions, request_id)

    answer = corrected(functions, bucket, request_id, ("\r\n1,", "\r\n3,"), ("\r\n2,", "\r\n1,"))
    assert answer["statusCode"] == 202
    rows = [row_body(request_id, number, generation=2) for number in (1, 2)]
    functions.invoke("compress", sqs_event("compress", *rows))
    close(functions, request_id, generation=2)

    images = images_of(database, request_id)
    folder = f"https://images.example/images/{request_id}"
    names = [f"{folder}/{name}.jpg" for name in ("3/2", "1/1", "1/2")]
    assert [image["human_url"] for image in images] == [None, *names]
    found = objects(bucket)
    assert len(found) == 6
    for image in images[1:]:
        assert found[key_of(image["human_url"])][0] == found[key_of(image["image_url"])][0]


# ── Strays ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def take_over(connect):
    query(connect, "UPDATE compressed_images SET lease_token = gen_random_uuid(), leased_until = now() + '1 minute'")


def test_a_worker_whose_lease_was_taken_over_deletes_its_copy_too(begin, compress, shop, bucket, connect, monkeypatch):
    begun = begin(shop.url("/a"))
    copy = Bucket.copy

    def copy_and_lose(self, *arguments):
        take_over(connect)
        return copy(self, *arguments)

    monkeypatch.setattr(Bucket, "copy", copy_and_lose)
    compress(begun)

    assert versions(bucket) == []


def test_of_two_versions_of_a_copy_the_one_that_its_image_made_stays(functions, begin, compress, shop, bucket, connect):
    """A worker died after it had copied what the origin had then."""
    request_id = begin(shop.url("/a"))
    query(connect, "UPDATE compressed_images SET attempt = 1")
    stale = f"images/{request_id}/1/1.jpg"
    bucket.put(stale, NEW, "image/jpeg")
    compress(request_id)
    bucket.put(stale, NEW, "image/jpeg")  # of one that was slow
    before = versions(bucket)

    close(functions, request_id)

    ((kept,),) = query(connect, "SELECT human_version FROM compressed_images")
    assert len(before) == 4
    assert [version for name, version in versions(bucket) if name == "1.jpg"] == [kept]
    assert len(versions(bucket)) == 2


def test_a_failed_image_has_none_and_its_retry_gets_one(functions, begin, compress, shop, database):
    shop.answers["/a"] = [says(http_answer(status="404 Not Found")), serves(NEW)]
    request_id = begin(shop.url("/a"))
    compress(request_id)
    close(functions, request_id)
    assert images_of(database, request_id)[0]["human_url"] is None

    functions.invoke("api", api_event("retry", request_id))
    functions.invoke("compress", sqs_event("compress", row_body(request_id, 1, generation=2)))

    assert images_of(database, request_id)[0]["human_url"].endswith("/1/1.jpg")

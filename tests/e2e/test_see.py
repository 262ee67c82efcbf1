"""What a caller sees of its jobs: images as they come, the attempts at the webhook, the list of all of them."""

import pytest

from tests.e2e.customer import HEADER, until


def ask(client, request_id, **parameters):
    answer = client.request("GET", f"/job/{request_id}/events", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client, request_id):
    """Every image that comes, until the job has ended and there is nothing more."""
    seen, after = [], "0"
    while True:
        page = ask(client, request_id, after=after, limit=2)
        seen += page["images"]
        after = page["next"]
        if not page["images"] and page["job"]["status"] in {"COMPLETED", "FAILED"}:
            return seen


@pytest.mark.local
def test_images_come_before_the_job_ends_and_each_once(client, shop, gate):
    """The last image is kept back until the others have come."""
    sheet = "".join(
        f"{n},{name},{shop.url(f'/{name}.jpg')}\n" for n, name in enumerate(["vase", "lamp", "jug", "late"])
    )
    request_id = client.upload(HEADER + sheet)

    first = until(lambda: (page := ask(client, request_id))["images"] and page)

    assert first["job"]["status"] == "PROCESSING"
    assert {image["status"] for image in first["images"]} == {"COMPLETED"}
    gate.set()
    seen = events(client, request_id)
    assert seen[: len(first["images"])] == first["images"]
    assert sorted(image["row_number"] for image in seen) == [1, 2, 3, 4]


def test_the_webhooks_log_and_the_list_of_jobs_tell_of_a_job(client, shop, webhook_url):
    request_id = client.upload(f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n", webhook_url=f"{webhook_url}?key=secret")
    client.ended(request_id)
    (delivery,) = until(lambda: deliveries(client, request_id)["deliveries"])

    assert (delivery["attempt"], delivery["outcome"]) == (1, "delivered")
    assert deliveries(client, request_id)["webhook_url"] == webhook_url
    newest = client.request("GET", "/jobs", params={"limit": 1}).json()["jobs"]
    assert newest == [client.status(request_id)]


def deliveries(client, request_id):
    return client.request("GET", f"/job/{request_id}/deliveries").json()

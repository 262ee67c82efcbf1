"""What a caller asks of a job after its upload: its failed images done again, or no more images begun."""

from tests.e2e.customer import HEADER
from tests.e2e.shops import SAMPLES


def test_a_retried_job_does_its_failed_images_again_and_keeps_the_others(client, shop):
    sheet = f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n2,Lamp,{shop.url('/late.jpg')}\n"
    request_id = client.upload(sheet)
    assert client.ended(request_id)["images_failed"] == 1
    kept, failed = client.images(request_id)
    shop.put("/late.jpg", (SAMPLES / "lamp.jpg").read_bytes())

    answer = client.request("POST", f"/job/{request_id}/retry")

    assert (answer.status_code, answer.json()["generation"]) == (202, 2)
    job = client.ended(request_id)
    assert (job["status"], job["images_completed"], job["images_failed"]) == ("COMPLETED", 2, 0)
    first, second = client.images(request_id)
    assert first == kept
    assert (failed["status"], second["status"]) == ("FAILED", "COMPLETED")
    assert second["image_url"] in client.finished_csv(request_id)


def test_a_cancelled_job_ends_and_says_so(client):
    """So many rows that they take longer than the call; their address is refused unasked."""
    sheet = "".join(f"{number},Jug,http://169.254.169.254/{number}.jpg\n" for number in range(1, 2_001))
    request_id = client.upload(HEADER + sheet)

    answer = client.request("POST", f"/job/{request_id}/cancel")

    assert answer.status_code == 202, answer.text
    job = client.ended(request_id)
    assert (job["status"], job["error_message"]) == ("FAILED", "cancelled")

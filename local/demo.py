"""`make demo`: one sample CSV through the whole service, told on the terminal as it happens."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from local import shop
from local.artifacts import PROJECT
from local.errors import LocalStackError
from local.progress import Progress
from local.stack import Options, Stack, StackInfo

# Fields of a multipart form: file name and content.
Form = Mapping[str, tuple[str | None, bytes]]

SAMPLES = PROJECT / "samples"
REQUEST_SECONDS = 30.0
JOB_SECONDS = 120.0
WEBHOOK_SECONDS = 30.0
POLL_SECONDS = 0.2


def run_demo() -> int:
    """Run the demo in a state directory of its own, which goes with it; the exit code.

    Raises:
        LocalStackError: Something is not as it should be.
    """
    with TemporaryDirectory(prefix="imagejobs-demo-") as state_dir, shop.serving(SAMPLES) as customer:
        print("Starting the service: the real template on a local AWS and a local Postgres …", flush=True)
        started = time.monotonic()
        with Stack.start(Path(state_dir), Options(private_origins=[customer.origin])) as stack:
            print(f"Ready after {time.monotonic() - started:.1f} s: {stack.info.api_url}\n")
            Demo(stack.info, customer).run()
    print("\nThat was the whole path. `make run` keeps the same service running.")
    return 0


@dataclass(frozen=True, slots=True)
class Demo:
    """One job, seen from outside.

    Attributes:
        info: The service.
        customer: Where the pictures are and the webhook goes.
    """

    info: StackInfo
    customer: shop.Shop

    def run(self) -> None:
        """Upload, watch, show.

        Raises:
            LocalStackError: The job or its webhook is not as it should be.
        """
        request_id = self._upload()
        job = self._watch(request_id)
        finished = self._get(f"/job/{request_id}/result").text.replace("\r\n", "\n")
        print(f"\nThe finished CSV ({job['result_url']}):\n\n{finished}")
        print_sizes(self._get(f"/job/{request_id}/images?limit=500").json()["images"])
        self._show_webhook(request_id)

    def _upload(self) -> str:
        sheet = (SAMPLES / "products.csv").read_text(encoding="utf-8").replace("{base_url}", self.customer.url)
        print(f"Uploading samples/products.csv, {len(sheet.splitlines()) - 1} lines of products …")
        form = {
            "file": ("products.csv", sheet.encode("utf-8")),
            "webhook_url": (None, f"{self.customer.url}/webhook".encode()),
        }
        answer = self._request("POST", "/upload", form)
        return str(answer.json()["request_id"])

    def _watch(self, request_id: str) -> dict[str, Any]:
        progress = Progress()
        deadline = time.monotonic() + JOB_SECONDS
        while time.monotonic() < deadline:
            job: dict[str, Any] = self._get(f"/job/status/{request_id}").json()
            progress.show(job["completion_percentage"], _note(job))
            if job["status"] == "COMPLETED":
                return job
            if job["status"] == "FAILED":
                raise LocalStackError(f"The job failed: {job['error_message']}")
            time.sleep(POLL_SECONDS)
        raise LocalStackError(f"The job did not end within {JOB_SECONDS:.0f} s.")

    def _show_webhook(self, request_id: str) -> None:
        received = self.customer.next_webhook(WEBHOOK_SECONDS)
        headers = {name: value for name, value in received.headers.items() if name.startswith("webhook-")}
        try:
            event = Webhook(self.info.webhook_secret).verify(received.body, headers)
        except WebhookVerificationError as error:
            raise LocalStackError(f"The webhook's signature is wrong: {error}") from error
        if (event["request_id"], event["status"]) != (request_id, "COMPLETED"):
            raise LocalStackError(f"The webhook speaks of another job: {event}")
        print("\nThe webhook as received, its signature verified with the caller's secret:\n")
        print("\n".join(f"  {name}: {value}" for name, value in headers.items()))
        print("\n" + json.dumps(event, indent=2, ensure_ascii=False))

    def _get(self, path: str) -> requests.Response:
        return self._request("GET", path)

    def _request(self, method: str, path: str, form: Form | None = None) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False  # no proxy, no netrc: everything is on this machine
            session.headers["Authorization"] = f"Bearer {self.info.token}"
            answer = session.request(method, f"{self.info.api_url}{path}", timeout=REQUEST_SECONDS, files=form)
        if not answer.ok:
            raise LocalStackError(f"{method} {path} was answered with {answer.status_code}: {answer.text}")
        answer.encoding = "utf-8"
        return answer


def _note(job: Mapping[str, Any]) -> str:
    if job["images"] is None:
        return str(job["status"])
    return f"{job['status']}, {job['images_completed'] + job['images_failed']} of {job['images']} images"


def print_sizes(images: Iterable[Mapping[str, Any]]) -> None:
    """Print a table of bytes before and after, one line an image."""
    print(f"  {'Image':32} {'Format':6} {'Before':>11} {'After':>11} {'Saved':>7}")
    for image in images:
        print(f"  {size_line(image)}")


def size_line(image: Mapping[str, Any]) -> str:
    """One line of the table: what became of one image."""
    name = image["source_url"].rsplit("/", 1)[-1][:32]
    if image["status"] != "COMPLETED":
        return f"{name:32} {image['error_code']}: {image['error_message']}"
    before, after = image["bytes_before"], image["bytes_after"]
    saved = f"{100 * (before - after) / before:.0f} %"
    return f"{name:32} {image['format']:6} {before:>11,} {after:>11,} {saved:>7}"

"""What benchmarks ask of a running stack, as a caller of its API."""

import time
from collections.abc import Mapping
from typing import Any

import requests

from local.stack import StackInfo

JOB_SECONDS = 900.0


def upload(
    info: StackInfo, origin: str, images: int, *, folder: str = "", reuse: bool = False, dry_run: bool = False
) -> str:
    """Upload a sheet of as many rows with one image each from the origin; the job's request id.

    Args:
        info: The stack.
        origin: Its `host:port`.
        images: Rows.
        folder: Of the origin's paths, ends in a slash; in another one there are other images.
        reuse: Whether images of an earlier job are reused.
        dry_run: Whether they are only looked at.
    """
    rows = "".join(f"{n},Product {n},http://{origin}/{folder}{n}.jpg\n" for n in range(1, images + 1))
    sheet = f"S. No.,Product Name,Input Image Urls\n{rows}"
    fields = {"file": sheet, "reuse": str(reuse).lower(), "dry_run": str(dry_run).lower()}
    form = {name: (None, text) for name, text in fields.items()}
    return str(_call(info, "POST", "/upload", files=form)["request_id"])


def wait_until_done(info: StackInfo, request_id: str, images: int) -> dict[str, Any]:
    """Wait for the job's end; its status then.

    Raises:
        SystemExit: It did not complete every image in time.
    """
    deadline = time.monotonic() + JOB_SECONDS
    while (job := _call(info, "GET", f"/job/status/{request_id}"))["status"] not in {"COMPLETED", "FAILED"}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if job["images_completed"] != images:
        raise SystemExit(f"The job did not complete every image: {job}")
    return job


def _call(
    info: StackInfo, method: str, path: str, files: Mapping[str, tuple[None, str]] | None = None
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {info.token}"}
    answer = requests.request(method, f"{info.api_url}{path}", headers=headers, timeout=60, files=files)
    answer.raise_for_status()
    return dict(answer.json())

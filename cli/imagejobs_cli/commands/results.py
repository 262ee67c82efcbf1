"""`results`: what a job has made, on this machine."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from uuid import UUID

import click

from imagejobs_cli.client import MAX_PAGE_IMAGES, Api
from imagejobs_cli.commands.common import STANDARD_OUTPUT, Invocation, calls_api, job_argument
from imagejobs_cli.documents import Image
from imagejobs_cli.errors import ExitCode

# Each waits for the network most of the time; urllib3 keeps ten connections to a host.
DOWNLOADS_AT_ONCE = 8
# What the service puts before an image's hash: where the image stood when it was compressed.
_PLACE = re.compile(r"^\d+-\d+-")


@click.command()
@job_argument
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Where it goes; standard output by default.",
)
@click.option(
    "--failures", "document", flag_value="failures.csv", help="The rows that failed, to correct and to retry."
)
@click.option("--report", "document", flag_value="report.html", help="The report of what was saved, as HTML.")
@click.option(
    "--images",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Download the compressed images into this folder, named by row and position; what is there stays.",
)
@calls_api
@click.pass_obj
def results(
    invocation: Invocation, request_id: UUID, *, output: Path | None, document: str | None, folder: Path | None
) -> ExitCode:
    """Fetch the finished CSV of a job, or its images.

    With --json and without --output: the link to it, which needs no token for an hour.
    """
    job = str(request_id)
    if folder:
        if output or document:
            raise click.UsageError("--images goes alone.")
        _fetch_images(invocation, job, folder)
        return ExitCode.DONE
    link = invocation.api.link(job, document or "result")
    if invocation.output.as_json and output is None:
        invocation.output.document({"url": link})
        return ExitCode.DONE
    invocation.save(link, output or STANDARD_OUTPUT)
    if invocation.output.as_json and output != STANDARD_OUTPUT:
        invocation.output.document({"output": str(output)})
    return ExitCode.DONE


def _fetch_images(invocation: Invocation, request_id: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    api = invocation.api
    images = api.images(request_id, status="COMPLETED")
    fetched = 0
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as threads:
        while page := list(islice(images, MAX_PAGE_IMAGES)):  # a job may have a million
            fetched += sum(threads.map(partial(_fetch_image, api, folder), page))
    if invocation.output.as_json:
        invocation.output.document({"folder": str(folder), "images_fetched": fetched})
    invocation.output.note(f"{folder}: {fetched:,} images fetched")


def _fetch_image(api: Api, folder: Path, image: Image) -> bool:
    """Store one image; False when it is there already, as a download that goes on after a break finds it."""
    url = str(image["image_url"])
    file = (
        folder / f"{image['row_number']}-{image['position']}-{_PLACE.sub('', PurePosixPath(urlsplit(url).path).name)}"
    )
    if file.exists() and file.stat().st_size == image["bytes_after"]:
        return False
    api.download(url, file)
    return True

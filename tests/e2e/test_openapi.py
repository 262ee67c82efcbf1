"""The description's examples are run: each of its commands, as a shop's developer would paste it."""

import json
import os
import shutil
import subprocess
from uuid import uuid4

import pytest
import requests

from openapi.examples import CSV
from openapi.samples import RESULTS
from tests.description import DOCUMENT, check_answer
from tests.e2e.customer import HEADER, until
from tests.e2e.shops import SAMPLES

COMMANDS = {
    f"{operation['operationId']}-{number}": (method, path, sample["source"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    for number, sample in enumerate(operation["x-codeSamples"], start=1)
}
CSV_HEADER = "S. No.,Product Name,"
BEGINNINGS = {"finished.csv": CSV_HEADER, "failures.csv": CSV_HEADER, "report.html": "<!doctype html>"}
CURL = shutil.which("curl")
# curl writes the answer's body where the command says, or here; and its headers, redirects included, here.
CURLRC = 'silent\nshow-error\ndump-header = "headers"\nwrite-out = "\\n%{http_code}"\n'


@pytest.fixture(scope="module")
def desk(tmp_path_factory, shop):
    """Where commands are run: with the example's sheet, of whose three pictures the shop has two."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / ".curlrc").write_text(CURLRC)
    vase = (SAMPLES / "vase.jpg").read_bytes()
    sheet = CSV
    for name in ("vase-front.jpg", "vase-side.jpg", "lamp.png"):
        sheet = sheet.replace(f"https://shop.example/{name}", shop.url(f"/described/{name}"))
    for name in ("vase-front.jpg", "vase-side.jpg"):
        shop.put(f"/described/{name}", vase)
    (folder / "products.csv").write_text(sheet)
    return folder


@pytest.fixture(scope="module")
def ended(client, desk, webhook_url):
    """A job with all that an operation asks for: a failed image, a finished CSV, a webhook."""
    return client.upload((desk / "products.csv").read_bytes(), webhook_url=webhook_url)


@pytest.fixture
def request_id(request, client, ended):
    """The job that a command is about: one that has ended, but for what only one at work can be asked."""
    if request.node.callspec.params["command"].startswith("cancel"):
        return request.getfixturevalue("at_work")
    client.ended(ended)
    failures = client.request("GET", f"/job/{ended}/failures.csv").headers["Location"]
    (request.getfixturevalue("desk") / "failures.csv").write_bytes(requests.get(failures, timeout=30).content)
    until(lambda: client.status(ended)["report_url"])
    return ended


@pytest.fixture
def at_work(client, shop):
    """A job whose picture takes longer than a test."""
    shop.answers["/slow.jpg"] = [lambda _request, wire: wire.settimeout(10) or wire.recv(1)]
    return client.upload(f"{HEADER}1,Vase,{shop.url('/slow.jpg')}\n")


@pytest.mark.local
@pytest.mark.skipif(CURL is None, reason="curl, which the examples are for, is not installed")
@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_does_what_the_description_says(client, desk, webhook_url, request_id, command):
    method, path, source = COMMANDS[command]
    source = source.replace("https://shop.example/hooks/images", webhook_url)
    source = source.replace("spring-catalogue-2026", str(uuid4()))
    environment = {"PATH": os.environ["PATH"], "HOME": str(desk), "API": client.api_url, "TOKEN": client.token}

    run = subprocess.run(
        ["bash", "-c", source],
        cwd=desk,
        env={**environment, "REQUEST_ID": request_id},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    body, _, http_status = run.stdout.rpartition("\n")
    headers = first_headers((desk / "headers").read_text())
    if "303" in DOCUMENT["paths"][path][method]["responses"]:
        assert headers["Location"]
        file_name = RESULTS[DOCUMENT["paths"][path][method]["operationId"]]
        assert (desk / file_name).read_text(encoding="utf-8").startswith(BEGINNINGS[file_name])
        body, http_status = json.dumps({"url": headers["Location"]}), "303"
    assert int(http_status) < 400, run.stdout
    check_answer(method, path, int(http_status), headers, body)


def first_headers(dumped):
    """Of the first answer; curl writes those of all that it was redirected to."""
    lines = dumped.replace("\r", "").partition("\n\n")[0].splitlines()[1:]
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

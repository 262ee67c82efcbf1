"""A local stack that stops, in order or by kill -9, loses no job: what was in its queues is rung for again."""

import signal
import subprocess
import sys
import threading

import pytest

from local.stack import Options, Stack
from tests.e2e.customer import HEADER, Client, until
from tests.e2e.shops import SAMPLES
from tests.unit.fetch_helpers import http_answer, says

pytestmark = pytest.mark.local

HOLD_STACK = """
import signal, sys
from pathlib import Path
from local.stack import Options, Stack
signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    with Stack.start(Path(sys.argv[1]), Options(private_origins=[sys.argv[2]])) as stack:
        stack.wait()
except KeyboardInterrupt:
    pass
"""


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_a_stop_cut_off_ends_after_the_next_start(shop, state_dir, stop_signal):
    own_dir = state_dir / f"restart-{stop_signal.name}"
    asked, released = threading.Event(), threading.Event()
    picture = says(http_answer((SAMPLES / "vase.jpg").read_bytes()))

    def held(request, wire):
        asked.set()
        if released.wait(30):
            picture(request, wire)

    shop.answers["/held.jpg"] = [held]
    process = subprocess.Popen([sys.executable, "-c", HOLD_STACK, str(own_dir), shop.origin])
    try:
        until((own_dir / "stack.json").exists)
        first = Client.local(own_dir / "stack.json")
        done = first.upload(f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n")
        assert first.ended(done)["status"] == "COMPLETED"
        sheet = f"{HEADER}1,Vase,{shop.url('/held.jpg')}\n"
        cut_off = first.upload(sheet, webhook_url=shop.url(f"/hooks/{stop_signal}"))
        assert asked.wait(30)
    finally:
        process.send_signal(stop_signal)
        process.wait(20)
        released.set()

    with Stack.start(own_dir, Options(private_origins=[shop.origin])):
        second = Client.local(own_dir / "stack.json")
        assert second.ended(cut_off, 60)["status"] == "COMPLETED"
        settled = "SELECT 1 FROM job_request WHERE request_id = %s AND settled_at IS NOT NULL"
        until(lambda: second.query(settled, cut_off))
        assert len(shop.webhooks[f"/hooks/{stop_signal}"]) == 1
        assert second.status(done)["status"] == "COMPLETED"
        assert second.finished_csv(done).startswith("S. No.")

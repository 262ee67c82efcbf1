"""Sends requests that are made from the API's description, right ones and wrong ones; answers must be as described.

Schemathesis makes them: each operation's examples and random values, with a token and without; and with it the borders
of its parameters, and walks along the description's links, from an upload to what becomes of its job.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import engine
from schemathesis.engine.events import EngineEvent, FatalError, NonFatalError, ScenarioFinished

from reliability.customer import CALL_SECONDS, GONE, GOOD, HOOKS, Caller, Sheet
from reliability.ledger import ENDED
from reliability.waiting import until
from security.bench import Bench
from security.callers import Limits, authorization, let_in
from security.tally import Tally

Description = dict[str, Any]

END_SECONDS = 60.0
CHECKS = {
    # API Gateway has one answer for an unknown path and for a known path's other methods, and it is not 405.
    "unsupported_method": {"enabled": False},
    # Counted by themselves.
    "not_a_server_error": {"enabled": False},
}
# Which rows failed, which alone may be corrected, the description cannot say.
OPERATIONS = [
    {
        "include-name": "POST /job/{request_id}/retry",
        "checks": {"positive_data_acceptance": {"enabled": False}},
    }
]
# What a sheet must be like by them, the description cannot say either.
LAYOUT_FIELDS = ("preset", "columns", "column_separator")
# Rows of sheets that can be read: the description cannot say what a text needs to be one.
ROWS = st.lists(st.lists(st.sampled_from([f"{GOOD}-1.jpg", f"{GOOD}-2.jpg", f"{GONE}-1.jpg"]), max_size=3), min_size=1)


def run_described_requests(bench: Bench, *, max_examples: int = 30, seed: int = 1) -> Tally:
    """Send requests as described, and others, as a caller and as a stranger.

    Args:
        bench: Where.
        max_examples: Random requests of a kind for each operation.
        seed: What the random numbers start from.

    Returns:
        `cases` are requests; `wrong` are kinds of answers that are not as described, each with a request that gets it.
    """
    (caller,) = let_in(bench, {"described": Limits()})
    description = _description(bench, _ended_jobs(bench, caller))
    schemathesis.openapi.media_type("text/csv", ROWS.map(lambda rows: _csv(bench, "described", rows)))
    settings = {"seed": seed, "generation": {"max-examples": max_examples, "no-shrink": True, "database": "none"}}
    known = compare(bench.info.api_url, description, {**settings, "headers": authorization(caller)})
    # Without a token there is no job to follow, and no parameter is ever looked at.
    unknown = {"phases": {"stateful": {"enabled": False}, "coverage": {"enabled": False}}}
    return known + compare(bench.info.api_url, description, {**settings, **unknown})


def compare(base_url: str, description: Description, settings: Mapping[str, Any]) -> Tally:
    """One run of all of Schemathesis' phases.

    Args:
        base_url: The API, without a slash at its end.
        description: OpenAPI.
        settings: Of Schemathesis, beside those that every run has.
    """
    fixed = {"base-url": base_url, "max-redirects": 0, "request-timeout": CALL_SECONDS, "checks": CHECKS}
    config = schemathesis.Config.from_dict({**fixed, "operations": OPERATIONS, "continue-on-failure": True, **settings})
    schema = schemathesis.openapi.from_dict(description, config=config)
    cases, server_errors, findings = 0, 0, dict[str, str]()
    for event in engine.from_schema(schema).execute():
        findings |= _findings(event)
        if isinstance(event, ScenarioFinished):
            statuses = [each.response.status_code for each in event.recorder.interactions.values() if each.response]
            cases += len(statuses)
            server_errors += sum(status >= HTTPStatus.INTERNAL_SERVER_ERROR for status in statuses)
    return Tally(
        cases=cases,
        server_errors=server_errors,
        wrong=len(findings),
        findings=tuple(f"{kind}: {shown}" for kind, shown in findings.items()),
    )


def _csv(bench: Bench, tag: str, rows: Sequence[Sequence[str]]) -> bytes:
    return Sheet(tag, tuple(map(tuple, rows))).text(bench.shop.origin).encode()


def _ended_jobs(bench: Bench, caller: Caller) -> list[str]:
    """Jobs that have what an operation can ask for: one with all of its images, one with a failed one to try again."""
    sheets = [Sheet(f"described-{name}", ((f"{name}-1.jpg", f"{GOOD}-2.jpg"),)) for name in (GOOD, GONE)]
    jobs = [caller.place(sheet, bench.shop) for sheet in sheets]
    until(lambda: all(caller.status(job)["status"] in ENDED for job in jobs), END_SECONDS, "the first jobs end")
    return jobs


def _description(bench: Bench, jobs: Sequence[str]) -> Description:
    """What the API says of itself, with examples that are there, and no webhook but the shop's: none goes out."""
    description: Description = requests.get(f"{bench.info.api_url}/openapi.json", timeout=CALL_SECONDS).json()
    description["components"]["parameters"]["RequestId"]["examples"] = {job: {"value": job} for job in jobs}
    hook = f"http://{bench.shop.origin}{HOOKS}described"
    for path in ("/upload", "/uploads", "/preflight"):
        for body in description["paths"][path]["post"]["requestBody"]["content"].values():
            fields = body["schema"]["properties"]
            fields["webhook_url"]["const"] = hook
            body["schema"]["properties"] = {name: each for name, each in fields.items() if name not in LAYOUT_FIELDS}
            for example in body["examples"].values():
                example["value"]["webhook_url"] = hook
                if "file" in fields:
                    example["value"]["file"] = _csv(bench, "described", [[f"{GOOD}-1.jpg"]]).decode()
    return description


def _findings(event: EngineEvent) -> dict[str, str]:
    """What an event of the run says is wrong, one of each kind."""
    if isinstance(event, FatalError):
        return {"The run ended": repr(event.exception)}
    if isinstance(event, NonFatalError):
        return {f"{event.label}, {type(event.value).__name__}": str(event.value)}
    if not isinstance(event, ScenarioFinished):
        return {}
    failed = [check.failure_info for checks in event.recorder.checks.values() for check in checks if check.failure_info]
    return {
        f"{found.failure.operation}, {found.failure.title}": f"{found.failure.message}\n{found.code_sample}"
        for found in failed
    }

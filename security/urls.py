"""Campaign: URLs that lead to private places, as images, behind redirects and as webhooks."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

from local.ports import LOOPBACK
from reliability.waiting import until
from security.bench import Bench
from security.customer import Customer, complaint_about_answer, sheet_of
from security.origin import Origin, http_answer, redirect, serving
from security.pictures import GOOD_NAME, run_failing
from security.tally import Tally
from security.url_cases import PICTURE, hostile_urls, loopback_names

SECONDS = 300.0
# Calls at once: each waits a while in the local stack.
CALLERS = 4
LOOPBACK_IPV6 = "::1"
HTTP_PORT = 80

_SETTLED = "SELECT settled_at IS NOT NULL FROM job_request WHERE request_id = %s"
_ANSWERS = "SELECT count(*), count(status_code) FROM webhook_delivery WHERE request_id = %s"

Case = tuple[str, str]


def run_hostile_urls(bench: Bench, every: int = 1) -> Tally:
    """Every hostile URL as an image's, as a redirect's target, and as a webhook's.

    Args:
        bench: Where.
        every: Of how many URLs one is tried.
    """
    with canaries(bench) as watching:
        cases = list(hostile_urls(_own_ports(bench, watching)))[::every]
        tally = run_failing(bench, cases, SECONDS)
        tally += run_failing(bench, list(_redirects(bench.origin, cases)), SECONDS)
        tally += _run_webhooks(bench, cases)
        return tally + _seen(watching)


def run_named_webhooks(bench: Bench) -> Tally:
    """Webhooks to names that stand for loopback: taken, for a name may change, and never delivered."""
    customer = Customer(bench.info)
    with canaries(bench) as watching:
        jobs = {
            name: customer.place(_good_sheet(bench), webhook_url=f"http://{name}/hook") for name in loopback_names()
        }
        findings = tuple(filter(None, (_complaint(bench, name, job) for name, job in jobs.items())))
        return Tally(cases=len(jobs), wrong=len(findings), findings=findings) + customer.tally + _seen(watching)


def _seen(watching: Sequence[Origin]) -> Tally:
    findings = tuple(f"the canary at {canary.host_port} saw a connection" for canary in watching if canary.connections)
    return Tally(wrong=len(findings), findings=findings)


@contextmanager
def canaries(bench: Bench) -> Iterator[list[Origin]]:
    """Servers on loopback that would hand out a picture, and must never be asked for it.

    Port 80 is the one that no rule about ports keeps anybody from; where it cannot be had, the watch alone would see.
    """
    picture = http_answer(bench.shop.picture(GOOD_NAME))
    with ExitStack() as stack:
        watching = [stack.enter_context(serving(LOOPBACK, 0, picture))]
        for host, port in ((LOOPBACK, HTTP_PORT), (LOOPBACK_IPV6, 0), (LOOPBACK_IPV6, HTTP_PORT)):
            with suppress(OSError):
                watching.append(stack.enter_context(serving(host, port, picture)))
        yield watching


def _own_ports(bench: Bench, watching: Sequence[Origin]) -> list[int]:
    """Of the stack, of one runtime API, and of the canaries."""
    runtime_apis = list(bench.watch.runtime_apis.values())[:1]
    netlocs = [urlsplit(bench.info.endpoint_url).netloc, *runtime_apis, *(canary.host_port for canary in watching)]
    return sorted({int(netloc.rpartition(":")[2]) for netloc in netlocs} - {HTTP_PORT})


def _redirects(origin: Origin, cases: Sequence[Case]) -> Iterator[Case]:
    for name, url in cases:
        if url.isprintable():  # a line end would be the end of the header
            yield f"a redirect to {name}", origin.add(redirect(url))


def _run_webhooks(bench: Bench, cases: Sequence[Case]) -> Tally:
    """Each is refused with the upload."""
    customer, sheet = Customer(bench.info), _good_sheet(bench)
    refused = [(name, url) for name, url in cases if not _is_name(url)]
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = pool.map(lambda case: customer.upload(sheet, webhook_url=case[1]), refused)
        complaints = list(zip(refused, map(complaint_about_answer, answers), strict=True))
    findings = [f"a webhook to {name}: {url[:200]!r} {complaint}" for (name, url), complaint in complaints if complaint]
    return Tally(cases=len(refused), wrong=len(findings), findings=tuple(findings)) + customer.tally


def _is_name(url: str) -> bool:
    """Whether the URL is one that only looking its name up shows to be private."""
    return url.lower() in {f"http://{name}{PICTURE}" for name in loopback_names()}


def _good_sheet(bench: Bench) -> bytes:
    return sheet_of([f"http://{bench.shop.origin}/beside/{GOOD_NAME}"])


def _complaint(bench: Bench, name: str, job: str) -> str | None:
    """What is wrong with a webhook that nobody may be sent, once it was given up."""
    until(lambda: bench.query(_SETTLED, job)[0][0], SECONDS, f"the webhook to {name} is given up")
    ((attempts, answered),) = bench.query(_ANSWERS, job)
    return f"{answered} of {attempts} webhooks to {name} were answered" if answered or not attempts else None

"""Campaign: CSVs that a spreadsheet would run, that no reader should take, or that come under hostile names."""

import io
import random
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from urllib.parse import parse_qs, quote, urlsplit

import requests

from local.ministack import client_options, session
from reliability.customer import HEADER
from reliability.waiting import until
from security.bench import Bench
from security.customer import Customer, complaint_about_answer, csv_of
from security.pictures import GOOD_NAME
from security.tally import Tally

SECONDS = 180.0
DROP_SECONDS = 60.0

# https://owasp.org/www-community/attacks/CSV_Injection: what a cell may not begin with, and signs that look alike.
STARTERS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
FORMULAS = (
    *('=HYPERLINK("http://127.0.0.1/?"&A1,"here")', "=cmd|' /C calc'!A0", "=1+1", '=WEBSERVICE("http://127.0.0.1/")'),
    *("+1+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0", "\t=1+1", "\r=1+1", "\n=1+1"),
    *(" =1+1", "\u00a0=1+1", "\x01=1+1", "\ufeff=1+1", "＝1+1", "＋1+1", "－1+1", "＠SUM(1)", "'=1+1", '"=1+1"'),  # noqa: RUF001
    *("=1+1;=1+1", "-A1", "+A1", "-1+1", "+", "-", "=", "@", "%0A=1+1", "-2,5", "+49 30 1234", "-1e5", "DDE=1"),
)
NUMBERS = frozenset({"-2,5", "-1e5"})  # a sign and digits, which run nothing
HEAD = ",".join(HEADER)
FILE_NAMES = (
    *(
        "../../../etc/passwd",
        "..\\..\\..\\windows\\system32\\x.csv",
        "/etc/passwd",
        "C:\\x.csv",
        "uploads/x.csv",
        "",
        ".",
    ),
    *(
        "x.csv\x00.png",
        "x\r\nX-Injected: yes\r\n\r\n.csv",
        'x"; filename="y.csv',
        "x.csv;rm -rf",
        "$(id).csv",
        "`id`.csv",
    ),
    *(
        "\u202evsc.exe",
        "CON",
        "%2e%2e%2fx.csv",
        "<script>alert(1)</script>.csv",
        "x" * 255,
        "ß" * 2_000,
        "x" * 1_000_000,
    ),
)
DROPPED_NAMES = (
    *("..%2f..%2fresults/x.csv", 'a"; filename="evil.exe', "<script>.csv", "%0d%0aX-Injected: yes.csv"),
    *("=1+1.csv", "\u202evsc.exe", "spaces  and\ttabs.csv", "ü" * 100 + ".csv"),
)


def run_hostile_sheets(bench: Bench) -> Tally:
    """Formulas, sheets that cannot be read, and names of files."""
    return run_formulas(bench) + _run_unreadable(bench) + _run_file_names(bench) + _run_dropped_names(bench)


# ── Formulas ─────────────────────────────────────────────────────────────────────────────────────────────────────


def run_formulas(bench: Bench) -> Tally:
    """Every formula in every column of one sheet; all rows come back, and no cell is a formula any more."""
    customer = Customer(bench.info)
    good = f"http://{bench.shop.origin}/beside/{GOOD_NAME}"
    rows = [[*HEADER, *FORMULAS[:3]]]
    for number, formula in enumerate(FORMULAS, 1):
        rows += [[f"{formula}{number}x", "", good, "", "", ""], [str(number), formula, good, formula, "", formula]]
        rows += [[f"0{number}", "", formula, formula, formula, ""]]
    request_id = customer.place(csv_of(rows))
    customer.until_ended(request_id, SECONDS)
    findings = tuple(_cells_that_are_wrong(rows, customer.result(request_id)[1]))
    return Tally(cases=len(rows), wrong=len(findings), findings=findings) + customer.tally


def _cells_that_are_wrong(rows: Sequence[Sequence[str]], finished: Sequence[Sequence[str]]) -> Iterator[str]:
    if len(rows) != len(finished):
        yield f"the finished CSV has {len(finished)} lines, the sheet has {len(rows)}"
    for sent, came in zip(rows, finished, strict=False):
        for cell in came:
            if cell.lstrip(" \u00a0\x01\ufeff").startswith(STARTERS) and cell not in NUMBERS:
                yield f"a cell of the finished CSV is still a formula: {cell!r}"
        for before, after in zip(sent, came, strict=False):
            if before not in (after, after.removeprefix("'")):
                yield f"the cell {before!r} came back as {after!r}"


# ── Sheets that cannot be read ───────────────────────────────────────────────────────────────────────────────────


def _run_unreadable(bench: Bench) -> Tally:
    """Each is refused with a code and a sentence, or taken and comes back with every row."""
    customer = Customer(bench.info)
    cases = dict(_sheets(f"http://{bench.shop.origin}/beside/{GOOD_NAME}"))
    findings = []
    for name, sheet in cases.items():
        answer = customer.upload(sheet)
        complaint = _complaint(customer, answer, sheet.count(b"row-"))
        findings += [f"{name} {complaint}"] if complaint else []
    return Tally(cases=len(cases), wrong=len(findings), findings=tuple(findings)) + customer.tally


def _complaint(customer: Customer, answer: requests.Response, rows: int) -> str | None:
    if answer.status_code != HTTPStatus.ACCEPTED:
        return complaint_about_answer(answer)
    request_id = answer.json()["request_id"]
    job = customer.until_ended(request_id, SECONDS)
    if job["status"] == "FAILED":
        return None if job["error_message"] else "failed without a sentence"
    finished = len(customer.result(request_id)[1]) - 1
    return None if finished == rows else f"came back with {finished} rows of {rows}"


def _sheets(good: str) -> Iterator[tuple[str, bytes]]:
    """What each is, and its bytes; every row of one that may be taken has the word "row-" in it once."""
    line = f"1,row-1,{good}\r\n"
    sheet = f"{HEAD}\r\n{line}"
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp037", "utf-8-sig"):
        yield f"a sheet in {encoding}", sheet.encode(encoding)
    for name, mark in (("two byte order marks", "\ufeff\ufeff"), ("a byte order mark within", "S. No.\ufeff")):
        yield name, (mark + sheet).encode()
    for code in (*range(1, 9), 11, 12, *range(14, 32), 127, 0x85, 0x2028, 0x2029, 0x200B, 0x202E, 0xFFFE, 0x10FFFF):
        yield f"the character {code:04x} in a cell", f"{HEAD}\r\n1,row-{chr(code)},{good}\r\n".encode()
    for name, raw in _RAW.items():
        yield f"{name} in a cell", f"{HEAD}\r\n1,".encode() + raw + f",{good}\r\n".encode()
    for name, text in _BROKEN.items():
        yield name, text.replace("{good}", good).encode()
    yield "a cell of 131,073 characters", f"{HEAD}\r\n1,{'x' * 131_073},{good}\r\n".encode()
    yield "a row of two megabytes", f"{HEAD}\r\n1,row-{',x' * 1_000_000},{good}\r\n".encode()
    yield "a hundred thousand columns", f"{HEAD}{',x' * 100_000}\r\n{line}".encode()
    yield "a hundred thousand empty lines", (HEAD + "\r\n" * 100_000 + line).encode()
    yield "a row with 201 images", f'{HEAD}\r\n1,row-1,"{",".join([good] * 201)}"\r\n'.encode()
    yield "noise", random.Random(1).randbytes(100_000)
    yield "a picture", b"\xff\xd8\xff" + random.Random(2).randbytes(1_000)
    yield "nothing but quotes", b'"' * 100_000


_RAW = {
    "NUL": b"row-\0",
    "a lone surrogate": b"row-\xed\xa0\x80",
    "an overlong slash": b"row-\xc0\xaf",
    "a cut character": b"row-\xe2\x82",
    "a byte that is no UTF-8": b"row-\xff",
    "a character beyond Unicode": b"row-\xf4\x90\x80\x80",
    "Latin-1": b"row-\xfc",
    "a NUL that is coded otherwise": b"row-\xc0\x80",
}
_BROKEN = {
    "nothing but a line end": "\r\n",
    "a header alone": f"{HEAD}\r\n",
    "a header with a line end missing": HEAD,
    "a header twice": f"{HEAD},Input Image Urls\r\n1,row-1,{{good}},x\r\n",
    "a quote that never closes": f'{HEAD}\r\n1,"row-1,{{good}}\r\n',
    "text behind a quote": f'{HEAD}\r\n1,"row-1"x,{{good}}\r\n',
    "semicolons": HEAD.replace(",", ";") + "\r\n1;row-1;{good}\r\n",
    "line ends of CR alone": f"{HEAD}\r1,row-1,{{good}}\r",
    "line ends of all kinds": f"{HEAD}\r\n1,row-1,{{good}}\n2,row-2,{{good}}\r3,row-3,{{good}}",
    "the same serial number twice": f"{HEAD}\r\n1,row-1,{{good}}\r\n1,row-2,{{good}}\r\n",
    "rows that are too short and too long": f"{HEAD}\r\n1,row-1\r\n2,row-2,{{good}},x,y\r\n3,row-3,{{good}}\r\n",
    "a row that names no image": f"{HEAD}\r\n1,row-1,\r\n2,row-2,{{good}}\r\n",
    "a serial number of 100,000 digits": f"{HEAD}\r\n{'9' * 100_000},row-1,{{good}}\r\n",
    "a name of 100,000 letters": f"{HEAD}\r\n1,row-{'x' * 100_000},{{good}}\r\n",
}


# ── Names of files ───────────────────────────────────────────────────────────────────────────────────────────────


def _run_file_names(bench: Bench) -> Tally:
    """What a client calls its file is of no use to anybody: every upload is taken, or refused for its form."""
    customer = Customer(bench.info)
    sheet = f"{HEAD}\r\n1,row-1,http://{bench.shop.origin}/beside/{GOOD_NAME}\r\n".encode()
    findings = []
    for name in FILE_NAMES:
        answer = customer.request("POST", "/upload", data=_form(name, sheet), headers=_FORM)
        if complaint := _complaint(customer, answer, 1):
            findings.append(f"an upload called {name[:60]!r} {complaint}")
    return Tally(cases=len(FILE_NAMES), wrong=len(findings), findings=tuple(findings)) + customer.tally


_FORM = {"Content-Type": "multipart/form-data; boundary=boundary"}


def _form(file_name: str, sheet: bytes) -> bytes:
    """The form as no library would send it: the name as it is."""
    head = f'--boundary\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\n\r\n'
    return head.encode() + sheet + b"\r\n--boundary--\r\n"


def _run_dropped_names(bench: Bench) -> Tally:
    """A dropped file's name becomes its result's: under `results/`, and in no header but the one that names it."""
    customer = Customer(bench.info)
    sheet = f"{HEAD}\r\n1,row-1,http://{bench.shop.origin}/beside/{GOOD_NAME}\r\n".encode()
    findings: list[str] = []
    for name in DROPPED_NAMES:
        findings += [f"a dropped file called {name!r} {complaint}" for complaint in _drop(bench, customer, name, sheet)]
    return Tally(cases=len(DROPPED_NAMES), wrong=len(findings), findings=tuple(findings)) + customer.tally


def _drop(bench: Bench, customer: Customer, name: str, sheet: bytes) -> Iterator[str]:
    key = f"{bench.info.drop_prefix}{name}"
    s3 = session().client("s3", **client_options(bench.port))
    s3.put_object(Bucket=bench.info.bucket, Key=key, Body=io.BytesIO(sheet))
    found = until(
        lambda: bench.query("SELECT request_id::text FROM job_request WHERE source_key = %s", key), DROP_SECONDS, key
    )
    request_id = str(found[0][0])
    job = customer.until_ended(request_id, SECONDS)
    if job["status"] != "COMPLETED":
        yield f"ended {job['status']}: {job['error_message']}"
        return
    ((result_key,),) = bench.query("SELECT result_key FROM job_request WHERE request_id = %s", request_id)
    link, rows = customer.result(request_id)
    if result_key != f"results/{name}" or len(rows) != 2:
        yield f"came back with {len(rows) - 1} rows at {result_key!r}"
    (disposition,) = parse_qs(urlsplit(link).query)["response-content-disposition"]
    if disposition != f"attachment; filename*=UTF-8''{quote(name.rsplit('/', 1)[-1], safe='')}":
        yield f"is downloaded with the Content-Disposition {disposition!r}"

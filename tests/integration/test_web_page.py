"""api: the page's files, as a browser gets them before it runs any of them."""

import re
from html.parser import HTMLParser

import pytest

from local.template import load_template
from tests.integration.handlers import content_of, load_event
from tests.template.expansion import ROOT

FILES = {path.name: path for path in (ROOT / "layers/imagejobs/python/imagejobs/web").iterdir()}
MODULES = sorted(name for name in FILES if name.endswith(".js"))
IMPORTED = re.compile(r"""(?:from|import)\s*\(?\s*"([^"]+)\"""")
LOADED = re.compile(r'import\("\./([^"]+)"\)')
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' https: http:",
    "connect-src": "'self' https://imagejobs.s3.amazonaws.com",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}


class Markup(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))


def headers(answer):
    return {name: values[0] for name, values in answer["multiValueHeaders"].items()}


def page(functions):
    return functions.invoke("api", load_event("api-page"))


def web_file(functions, version, name):
    event = load_event("api-web_file")
    event["path"], event["pathParameters"] = f"/web/{version}/{name}", {"version": version, "file": name}
    return functions.invoke("api", event)


def imports_of(module):
    return set(re.findall(r'^import .*"\./([^"]+)"', FILES[module].read_text(encoding="utf-8"), re.MULTILINE))


def version_of(functions):
    return re.search(r"web/([0-9a-f]{16})/app\.js", page(functions)["body"])[1]


def test_the_page_needs_no_token_and_no_database(functions):
    functions.values["DATABASE_DSN"] += " port=1"

    answer = page(functions)

    assert answer["statusCode"] == 200
    assert headers(answer)["Content-Type"] == "text/html; charset=utf-8"
    assert answer["body"].startswith("<!doctype html>")
    assert "{version}" not in answer["body"]


def test_a_browser_is_told_to_run_show_and_contact_nothing_else(functions):
    said = headers(page(functions))

    assert dict(rule.split(" ", 1) for rule in said["Content-Security-Policy"].split("; ")) == POLICY
    assert said["X-Content-Type-Options"] == "nosniff"
    assert said["Referrer-Policy"] == "no-referrer"


def test_markup_holds_no_script_and_no_style_and_names_files_below_the_api_s_path(functions):
    body = page(functions)["body"]
    elements = Markup(body).elements
    named = [
        attributes.get("src") or attributes.get("href") for tag, attributes in elements if tag in {"script", "link"}
    ]

    assert re.findall(r"<script[^>]*>\s*[^<\s]", body) == []
    assert not {"style"} & {tag for tag, _ in elements}
    assert [name for _, attributes in elements for name in attributes if name == "style" or name.startswith("on")] == []
    assert {name.rpartition("/")[2] for name in named} == {"page.css", "icon.svg", "theme.js", "app.js"}
    assert all(name.startswith(f"/dev/web/{version_of(functions)}/") for name in named)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports_the_page_s_own_files(name):
    imported = IMPORTED.findall(FILES[name].read_text(encoding="utf-8"))

    assert {path.removeprefix("./") for path in imported} <= set(MODULES)
    assert all(path.startswith("./") for path in imported)


def test_no_view_asks_for_more_files_at_once_than_the_smallest_deployment_has_functions_for():
    """A module's imports are asked for when it has come, all at once; what `app.js` loads, one after the other."""
    concurrency = load_template(ROOT / "template.yaml")["Mappings"]["Connections"]["25"]["Api"]
    lines = FILES["app.js"].read_text(encoding="utf-8").splitlines()
    views = [modules for modules in map(LOADED.findall, lines) if modules]

    assert sorted(view[-1] for view in views) == ["home.js", "job.js", "signin.js"]
    for view in views:
        known = set()
        for module in ["app.js", *view]:
            asked = {module} - known
            while asked:
                assert len(asked) <= concurrency
                known |= asked
                asked = {name for each in asked for name in imports_of(each)} - known


def test_every_file_is_used(functions):
    used = {"index.html"} | set(re.findall(r"web/[0-9a-f]+/([a-z.]+)", page(functions)["body"]))
    for name in MODULES:
        used |= {path.removeprefix("./") for path in IMPORTED.findall(FILES[name].read_text(encoding="utf-8"))}

    assert used == set(FILES)


def test_the_page_is_asked_for_anew_and_its_files_are_kept_for_good(functions):
    version = version_of(functions)
    styles = web_file(functions, version, "page.css")
    again = load_event("api-page")
    again["headers"]["If-None-Match"] = headers(page(functions))["ETag"]

    assert headers(page(functions))["Cache-Control"] == "no-cache"
    assert functions.invoke("api", again)["statusCode"] == 304
    assert (styles["statusCode"], styles["body"]) == (200, FILES["page.css"].read_text(encoding="utf-8"))
    assert headers(styles)["Content-Type"] == "text/css; charset=utf-8"
    assert headers(styles)["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_page_of_another_deployment_gets_what_there_is_and_does_not_keep_it(functions):
    answer = web_file(functions, "0" * 16, "app.js")

    assert (answer["statusCode"], headers(answer)["Cache-Control"]) == (200, "no-store")
    assert headers(answer)["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2Fapp.py", "../web_page.py"])
def test_nothing_but_the_page_s_files_is_handed_out(functions, name):
    answer = web_file(functions, version_of(functions), name)

    assert (answer["statusCode"], content_of(answer)["code"]) == (404, "route_not_found")


@pytest.mark.parametrize(
    ("base_url", "base_path"), [("https://api.shop.example", ""), ("https://shop.example/a/b", "/a/b")]
)
def test_at_an_address_of_the_operator_s_own_files_are_below_that(functions, base_url, base_path):
    before = headers(page(functions))["ETag"]
    functions.values["API_BASE_URL"] = base_url

    answer = page(functions)

    addresses = re.findall(r'(?:src|href)="([^"#]+)"', answer["body"])
    assert {address.split("/web/")[0] for address in addresses} == {base_path, f"{base_path}/docs"}
    assert headers(answer)["ETag"] != before

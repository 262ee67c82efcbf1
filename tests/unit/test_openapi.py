"""The API's description is whole, true to the code, and as it was generated."""

import re
from html.parser import HTMLParser

import pytest

from imagejobs import errors
from openapi.__main__ import written
from openapi.description import resolved, routes
from openapi.examples import ANSWERS, REFUSALS
from openapi.forms import FORMS
from tests.description import DOCUMENT, check_shape

OPERATIONS = {
    operation["operationId"]: operation for methods in DOCUMENT["paths"].values() for operation in methods.values()
}
WEBHOOKS = {name: item["post"] for name, item in DOCUMENT["webhooks"].items()}
# Of errors that only stand for their kinds, nobody is told.
KINDS = {errors.RequestError, errors.LimitExceeded}


def generated():
    return {path.name: text for path, text in written().items()}


def error_tree(kind):
    return {kind}.union(*map(error_tree, kind.__subclasses__()))


def described_codes():
    responses = [resolved(DOCUMENT, r) for o in OPERATIONS.values() for r in o["responses"].values()]
    codes = [example["value"].get("code") for r in responses for example in contents(r).get("examples", {}).values()]
    return set(codes) - {None}


def contents(described):
    """What an answer or a request is made of; where it may have several media types, all have the same."""
    return next(iter(described["content"].values()))


@pytest.mark.parametrize("name", ["openapi.json", "docs.html"])
def test_the_files_are_as_the_code_says(name):
    path = next(path for path in written() if path.name == name)

    assert path.read_text(encoding="utf-8") == generated()[name], "run `make openapi`"


@pytest.mark.parametrize("name", sorted(OPERATIONS | WEBHOOKS))
def test_every_example_is_of_its_shape(name):
    operation = (OPERATIONS | WEBHOOKS)[name]
    answers = [
        contents(resolved(DOCUMENT, r)) for r in operation["responses"].values() if "content" in resolved(DOCUMENT, r)
    ]
    requests = [contents(operation["requestBody"])] if "requestBody" in operation else []

    for content in [*answers, *requests]:
        for example in content.get("examples", {}).values():
            check_shape(content["schema"], example["value"])


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_can_be_tried(name):
    """A command for each example of its request, and an example of each JSON answer."""
    operation = OPERATIONS[name]
    requests = contents(operation["requestBody"])["examples"] if "requestBody" in operation else [None]

    assert len(operation["x-codeSamples"]) == len(requests)
    for response in operation["responses"].values():
        described = resolved(DOCUMENT, response)
        assert "application/json" not in described["content"] or contents(described)["examples"]


def test_every_error_that_a_caller_may_be_told_is_described():
    codes = {error.code for error in error_tree(errors.RequestError) - KINDS}

    assert codes - described_codes() == set()


def test_no_example_is_left_over():
    """What no operation answers any more goes."""
    shapes = {kind.__name__ for kind in ANSWERS}
    answered = {error for route in routes() for error in route.refusals} | {errors.ImageJobsError}

    assert shapes <= DOCUMENT["components"]["schemas"].keys()
    assert set(REFUSALS) <= answered
    assert FORMS.keys() <= {route.name for route in routes()}


class Page(HTMLParser):
    """What a page is made of.

    Attributes:
        tags: All names of elements.
        ids: All ids, in order.
        links: Where links lead, and what the page loads.
        headings: Their levels, in order.
    """

    def __init__(self, html):
        super().__init__()
        self.tags, self.ids, self.links, self.headings = set(), [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.tags.add(tag)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named[name] for name in ("href", "src") if name in named]
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []


@pytest.fixture(scope="module")
def page():
    return Page(generated()["docs.html"])


def test_the_page_has_every_operation_and_shape(page):
    shapes = {f"shape-{name}" for name in DOCUMENT["components"]["schemas"]}

    assert set(page.ids) >= OPERATIONS.keys() | WEBHOOKS.keys() | shapes
    assert len(page.ids) == len(set(page.ids))


def test_the_page_leads_nowhere_that_is_not_there(page):
    inside = {link for link in page.links if link.startswith("#")}

    assert inside <= {f"#{name}" for name in page.ids}
    assert {link for link in page.links if not link.startswith(("#", "https://"))} == {"openapi.json"}


def test_the_page_runs_nothing_and_loads_nothing(page):
    """So that the policy that it is served with may forbid all but its style."""
    assert page.tags & {"script", "img", "iframe", "object", "embed", "form"} == set()
    assert " style=" not in generated()["docs.html"]


def test_headings_skip_no_level(page):
    steps = zip(page.headings, page.headings[1:], strict=False)

    assert page.headings[0] == 1
    assert all(below <= above + 1 for above, below in steps)

"""A headless Chromium that visits the page of the stack under test."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.e2e.customer import HEADER, Client

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "web":
            item.add_marker(pytest.mark.local)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="Chromium is not installed: apt-get install chromium"))


@dataclass
class Visit:
    """Somebody at the page, and what went wrong behind it.

    Attributes:
        page: The browser's tab.
        client: Of the same stack, with the token.
        complaints: What the console said and no test expects; a violation of the Content-Security-Policy is one.
        asked: The address of every request.
    """

    page: Page
    client: Client
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def open(self, fragment: str = "") -> None:
        self.page.goto(f"{self.client.api_url}/{fragment}")

    def sign_in(self, token: str | None = None) -> None:
        self.page.get_by_label("Token").fill(token or self.client.token)
        self.page.get_by_role("button", name="Sign in").click()

    def enter(self, fragment: str = "") -> None:
        """Open the page and be signed in."""
        self.open(fragment)
        self.sign_in()
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    def choose(self, sheet: str, label: str = "CSV") -> None:
        file = {"name": "products.csv", "mimeType": "text/csv", "buffer": sheet.encode()}
        self.page.get_by_label(label).set_input_files(file)

    def begin(self) -> None:
        self.page.get_by_role("button", name="Compress the pictures").click()

    def refused(self, status: int) -> None:
        """The console said that a request was refused, as it should have been."""
        expected = f"the server responded with a status of {status}"
        if not any(expected in said for said in self.complaints):
            self.page.wait_for_event("console", lambda message: expected in message.text)
        self.complaints.remove(next(said for said in self.complaints if expected in said))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        self.asked.append(request.url)


@pytest.fixture(scope="module")  # not longer: its event loop would be in the way of other tests of this process
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce", locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def visit(context, client) -> Iterator[Visit]:
    """A visit in which nothing may be wrong but what the test says."""
    visit = Visit(context.new_page(), client)
    visit.watch()
    yield visit
    assert visit.complaints == []


@pytest.fixture(scope="session")
def finished(client, shop) -> str:
    """A job that has ended: three pictures in two rows, one that does not exist, and one whose row is an attack."""
    rows = ["Vase,{0}vase.jpg|{0}vase-side.jpg", "Mug,{0}mug.webp", "Sold-out teapot,{0}teapot.jpg"]
    sheet = [*(row.format(shop.url("/")) for row in rows), f'"{HOSTILE}",javascript:alert(3)//x.jpg']
    request_id = client.upload(HEADER + "".join(f"{number},{row}\n" for number, row in enumerate(sheet, start=1)))
    client.ended(request_id)
    return request_id

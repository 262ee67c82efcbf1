"""`make screenshots`: pictures of the page for the documentation, of a job with the samples, coded by our own codec."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, expect, sync_playwright

from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from local import shop
from local.artifacts import PROJECT
from local.demo import SAMPLES
from local.stack import Options, Stack, StackInfo
from tests.e2e.web.conftest import CHROMIUM, FLAGS, PATIENCE_MS

FOLDER = PROJECT / "docs" / "images"
DESK = {"width": 1100, "height": 840}
PHONE = {"width": 390, "height": 1200}


def main() -> None:
    """Write docs/images/page-*.png."""
    FOLDER.mkdir(exist_ok=True)
    with (
        TemporaryDirectory(prefix="imagejobs-page-") as state_dir,
        shop.serving(SAMPLES) as customer,
        Stack.start(Path(state_dir), Options(private_origins=[customer.origin])) as stack,
        sync_playwright() as playwright,
    ):
        sheet = (SAMPLES / "products.csv").read_text(encoding="utf-8").replace("{base_url}", customer.url)
        _take_all(playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS), stack.info, sheet)


def _take_all(browser: Browser, info: StackInfo, sheet: str) -> None:
    with _visit(browser, info, DESK, "light") as page:
        file = {"name": "products.csv", "mimeType": "text/csv", "buffer": sheet.encode()}
        page.get_by_label("CSV").set_input_files(file)
        _take(page, "page-new-job")
        page.get_by_role("button", name="Check first").click()
        expect(page.get_by_text("Checked", exact=True)).to_be_visible()
        _take(page, "page-check")
        page.get_by_role("button", name="Compress these pictures").click()
        expect(page.get_by_role("button", name="Open the report")).to_be_visible()
        job = re.sub(r"^[^#]*", "", page.url)
        _take(page, "page-job")
    with _visit(browser, info, DESK, "dark", job) as page:
        _take(page, "page-job-dark")
    with _visit(browser, info, PHONE, "light", f"{job}?show=failed") as page:
        _take(page, "page-phone")


@contextmanager
def _visit(browser: Browser, info: StackInfo, size: dict[str, int], scheme: str, fragment: str = "") -> Iterator[Page]:
    """A tab in which the caller is signed in."""
    context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB", timezone_id="UTC")
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{info.api_url}/{fragment}")
    page.get_by_label("Token").fill(info.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    yield page
    context.close()


def _take(page: Page, name: str) -> None:
    """One picture, once everything in it has been loaded."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function(
        "[...document.images].every(picture => picture.loading === 'lazy' && !picture.complete ? "
        "picture.getBoundingClientRect().top > innerHeight : picture.complete)"
    )
    smaller = compress(page.screenshot(), CompressionOptions())
    (FOLDER / f"{name}.png").write_bytes(smaller.body)


if __name__ == "__main__":
    main()

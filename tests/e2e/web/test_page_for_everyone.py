"""The page without a mouse, without sight, in the dark and on a small screen."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.e2e.customer import HEADER

AXE = Axe()
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 320, "height": 640}
MAX_TABS = 60


def focus(page, name):
    """Press Tab until the element of that name has the focus; its locator."""
    for _ in range(MAX_TABS):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        said = focused.evaluate("e => e.getAttribute('aria-label') ?? e.labels?.[0]?.textContent ?? e.textContent")
        if name in said:
            return focused
    raise AssertionError(f"{name!r} is not reached by Tab")


def test_all_of_it_works_by_keyboard(visit, client, shop):
    page = visit.page
    page.on("filechooser", lambda _: None)  # from now on they are caught
    visit.open()
    expect(page.get_by_role("heading", name="Sign in")).to_be_focused()
    focus(page, "Token")
    page.keyboard.type(client.token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Compress a catalogue")).to_be_focused()

    focus(page, "CSV")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    sheet = f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n2,Teapot,{shop.url('/teapot.jpg')}\n"
    chooser.value.set_files({"name": "two.csv", "mimeType": "text/csv", "buffer": sheet.encode()})
    quality = focus(page, "Quality")
    page.keyboard.press("ArrowLeft")
    expect(quality).to_have_value("79")
    focus(page, "Compress the pictures")
    page.keyboard.press("Enter")

    expect(page.get_by_role("button", name="Try the failed pictures again")).to_be_visible()
    focus(page, "All 2")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card")).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".card")).to_have_count(2)

    slider = focus(page, "vase.jpg: before and after")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "53 % original")
    enlarge = focus(page, "Enlarge")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("slider")).to_be_focused()
    page.keyboard.press("Escape")
    expect(enlarge).to_be_focused()


def views(visit, client, shop, finished, gate):
    """Every view of the page, one after the other; each has been there when its name comes."""
    page = visit.page
    visit.open()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    yield "sign-in"
    visit.sign_in("wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    visit.refused(401)
    yield "sign-in, refused"
    visit.sign_in()
    page.get_by_text("More options").click()
    visit.choose(HEADER + '1,"Vase\n')
    visit.begin()
    expect(page.get_by_role("alert")).to_contain_text("Line 2: the quote that opens here is never closed")
    visit.refused(400)
    expect(page.locator(".jobs a").first).to_be_visible()
    yield "first view, a sheet refused"
    visit.choose(HEADER)
    expect(page.get_by_role("alert")).to_have_count(0)
    request_id = client.upload(
        f"{HEADER}1,Jug,{shop.url('/jug.jpg')}\n2,Late,{shop.url('/late.jpg')}\n", webhook_url=shop.url("/hooks/axe")
    )
    checked = client.upload(
        f"{HEADER}1,Jug,{shop.url('/jug.jpg')}\n2,Teapot,{shop.url('/teapot.jpg')}\n", dry_run="true"
    )
    visit.open(f"#/job/{request_id}")
    expect(page.get_by_role("slider", name="jug.jpg")).to_be_visible()
    yield "job at work"
    gate.set()
    expect(page.get_by_role("region", name="Attempts")).to_be_visible()
    yield "job that has ended, with its webhook"
    visit.open(f"#/job/{checked}")
    expect(page.get_by_role("region", name="What was found")).to_be_visible()
    expect(page.locator(".card")).to_have_count(2)
    yield "check"
    visit.open(f"#/job/{finished}")
    expect(page.get_by_role("slider")).to_have_count(3)
    page.get_by_text("Correct the rows that failed").click()
    yield "gallery, and corrections"
    page.get_by_role("button", name="Enlarge").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield "enlarged"
    page.keyboard.press("Escape")
    page.get_by_role("radio", name="Failed").check()
    expect(page.locator(".card")).to_have_count(2)
    yield "failures"
    visit.open("#/job/00000000-0000-0000-0000-000000000000")
    expect(page.get_by_role("alert")).to_contain_text("There is no job")
    visit.refused(404)
    yield "no such job"
    page.get_by_role("link", name="All jobs").click()
    expect(page.get_by_role("heading", name="Compress a catalogue")).to_be_visible()


def axe_findings(page, context=None, **options):
    """What axe has found, by its rule."""
    results = AXE.run(page, context, {"resultTypes": ["violations"], **options})
    return {found["id"]: found["nodes"] for found in results.response["violations"]}


def test_every_view_is_clean_for_axe_light_and_dark_and_fits_a_small_screen(visit, client, shop, finished, gate):
    """Small is 320 CSS pixels, which are also 1280 at a zoom of 400 %: WCAG 2.2, 1.4.10."""
    page, findings, widths = visit.page, {}, {}
    for view in views(visit, client, shop, finished, gate):
        findings[view, "light"] = axe_findings(page)
        page.emulate_media(color_scheme="dark")  # the same page but for its colours
        findings[view, "dark"] = axe_findings(page, runOnly=["color-contrast"])
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(PHONE)
        widths[view] = page.evaluate("document.documentElement.scrollWidth")
        page.set_viewport_size(DESK)

    assert {view: found for view, found in findings.items() if found} == {}
    assert widths == dict.fromkeys(widths, PHONE["width"])


def test_the_description_loads_nothing_and_is_clean_for_axe_light_and_dark_and_fits_a_small_screen(visit):
    """`/docs`. It is long; for contrast one of each kind is looked at: contents, introduction, operation, shape."""
    visit.open("docs")
    page = visit.page
    contrast = {"context": [["nav"], ["header"], ["#images"], ["#shape-Image"]], "runOnly": ["color-contrast"]}

    found = axe_findings(page, rules={"color-contrast": {"enabled": False}})
    light = axe_findings(page, **contrast)
    page.emulate_media(color_scheme="dark")
    dark = axe_findings(page, **contrast)
    page.set_viewport_size(PHONE)

    assert (found, light, dark) == ({}, {}, {})
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert visit.asked == [f"{visit.client.api_url}/docs"]


def test_colours_follow_the_device_until_somebody_chooses(visit):
    page = visit.page
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    visit.open()
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) != light

    page.get_by_label("Colours").select_option(label="Light")
    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light

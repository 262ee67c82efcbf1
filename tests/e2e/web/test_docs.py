"""The API's description as people read it: `/docs`."""

from tests.e2e.web.test_page_for_everyone import PHONE, axe_findings


def test_the_description_loads_nothing_and_is_clean_for_axe_light_and_dark_and_fits_a_small_screen(visit):
    visit.open("docs")
    page = visit.page

    light = axe_findings(page)
    page.emulate_media(color_scheme="dark")
    dark = axe_findings(page, runOnly=["color-contrast"])
    page.set_viewport_size(PHONE)

    assert (light, dark) == ({}, {})
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert visit.asked == [f"{visit.client.api_url}/docs"]

"""The page in a browser: from a dropped CSV to the finished gallery, and what it says when something is wrong."""

import csv
import io
import json
from urllib.parse import urlsplit
from uuid import uuid4

from playwright.sync_api import expect

from tests.e2e.customer import HEADER, until
from tests.e2e.shops import SAMPLES


def words(size_bytes):
    """As the page writes a size."""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 999_500 else f"{size_bytes / 1e3:.0f} kB"


def test_from_a_csv_to_the_finished_gallery(visit, client, shop, sheet, gate):
    page, hook = visit.page, f"/hooks/{uuid4()}"
    visit.enter()
    visit.choose(f"{sheet}10,Late vase,{shop.url('/late.jpg')}\n")
    page.get_by_label("Save as").select_option(label="WebP")
    page.get_by_label("Tell when done").fill(shop.url(hook))
    visit.begin()

    # While one picture is not done: progress, and the others before and after.
    totals = page.get_by_role("region", name="Progress and totals")
    expect(totals.get_by_role("progressbar")).to_have_attribute("value", "92")
    expect(totals.get_by_text("13 of 14 pictures, 92 %")).to_be_visible()
    expect(page.get_by_role("slider")).to_have_count(12)
    expect(page.get_by_role("button", name="Download the finished CSV")).to_have_count(0)
    request_id = page.url.rpartition("/")[2]
    gate.set()

    # Its end, without a reload.
    expect(page.get_by_text("Finished", exact=True)).to_be_visible()
    job = client.status(request_id)
    expect(totals).to_contain_text(f"Before{words(job['bytes_before'])}")
    expect(totals).to_contain_text(f"After{words(job['bytes_after'])}")
    expect(totals).to_contain_text(f"Saved{words(job['bytes_before'] - job['bytes_after'])}")
    expect(page.get_by_role("slider")).to_have_count(13)
    first = next(image for image in client.images(request_id) if image["row_number"] == 1)
    row = page.get_by_role("listitem").filter(has_text="Row 1 Stoneware vase").first
    expect(row).to_contain_text(f"{words(first['bytes_before'])} to {words(first['bytes_after'])}")

    # The finished CSV.
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the finished CSV").click()
    downloaded = download.value.path().read_text(encoding="utf-8-sig")
    assert list(csv.DictReader(io.StringIO(downloaded))) == list(
        csv.DictReader(io.StringIO(client.finished_csv(request_id).removeprefix("\ufeff")))
    )

    # The webhook, and again.
    attempts = page.get_by_role("region", name="Attempts").get_by_role("row", name="Accepted")
    expect(attempts).to_have_count(1)
    page.get_by_role("button", name="Send it again").click()
    expect(attempts).to_have_count(2)
    assert len(shop.webhooks[hook]) == 2


def test_both_pictures_are_there_and_the_slider_moves_the_edge_between_them(visit, finished):
    page = visit.page
    visit.enter(f"#/job/{finished}")

    slider = page.get_by_role("slider", name="vase.jpg: before and after")
    slider.fill("20")

    original, compressed = page.get_by_alt_text("vase.jpg, original"), page.get_by_alt_text("vase.jpg, compressed")
    for picture in (original, compressed):
        page.wait_for_function("picture => picture.complete && picture.naturalWidth > 0", arg=picture.element_handle())
    expect(original).to_have_css("clip-path", "inset(0px 80% 0px 0px)")
    expect(compressed).to_have_css("clip-path", "inset(0px 0px 0px 20%)")
    expect(slider).to_have_attribute("aria-valuetext", "20 % original")


def test_filters_are_in_the_address_and_failures_have_their_row_and_reason(visit, finished):
    page = visit.page
    visit.enter(f"#/job/{finished}")
    pictures = page.locator(".card")

    page.get_by_role("radio", name="Failed 1").check()
    expect(pictures).to_have_count(1)
    expect(page.get_by_role("heading", name="Row 9 Sold-out teapot")).to_be_visible()
    expect(pictures).to_contain_text("The shop's server did not give out this picture")
    expect(pictures).to_contain_text("The origin answered 404")
    assert page.url.endswith(f"#/job/{finished}?show=failed")

    page.get_by_role("radio", name="All 13").check()
    page.get_by_label("Find a product").fill("vase")
    expect(page.get_by_text("3 pictures found.")).to_be_visible()
    assert page.url.endswith(f"#/job/{finished}?find=vase")
    page.reload()
    expect(pictures).to_have_count(3)
    expect(page.get_by_label("Find a product")).to_have_value("vase")


def test_a_job_of_many_rows_comes_in_parts(visit, client, shop):
    request_id = client.upload(HEADER + "".join(f"{n},Mug {n},{shop.url('/mug.webp')}\n" for n in range(1, 131)))
    client.ended(request_id)
    visit.enter(f"#/job/{request_id}")
    pictures = visit.page.locator(".card")

    expect(visit.page.get_by_text("60 of 130 pictures.")).to_be_visible()
    visit.page.get_by_role("button", name="Show more").click()
    expect(pictures).to_have_count(120)
    visit.page.get_by_role("button", name="Show more").click()

    expect(pictures).to_have_count(130)
    expect(visit.page.get_by_role("button", name="Show more")).to_have_count(0)
    rows = visit.page.get_by_role("heading", level=3)
    assert [int(name.split()[1]) for name in rows.all_text_contents()] == list(range(1, 131))


def test_a_failed_picture_is_done_again_and_a_job_is_cancelled(visit, client, shop, gate):
    picture = f"/{uuid4()}.jpg"
    request_id = client.upload(f"{HEADER}1,Teapot,{shop.url(picture)}\n")
    client.ended(request_id)
    shop.put(picture, (SAMPLES / "jug.jpg").read_bytes())
    page = visit.page
    visit.enter(f"#/job/{request_id}")
    expect(page.locator(".card.failed")).to_have_count(1)

    page.get_by_role("button", name="Try the failed pictures again").click()
    expect(page.get_by_role("slider", name=picture.removeprefix("/"))).to_be_visible()
    expect(page.get_by_role("button", name="Try the failed pictures again")).to_have_count(0)

    waiting = client.upload(f"{HEADER}1,Late,{shop.url('/late.jpg')}\n")
    page.get_by_role("link", name="All jobs").click()
    page.locator(f"[data-id='{waiting}'] a").click()
    with page.expect_response("**/cancel"):  # before the picture is done, or there is nothing to cancel
        page.get_by_role("button", name="Cancel the job").click()
    gate.set()
    expect(page.get_by_text("Cancelled", exact=True).or_(page.get_by_text("Finished", exact=True))).to_be_visible()


def test_a_wrong_token_and_a_token_that_was_revoked(visit, finished):
    page = visit.page
    visit.open(f"#/job/{finished}")
    visit.sign_in("wrong")
    expect(page.get_by_role("alert")).to_contain_text("This token is not known here")
    visit.refused(401)

    visit.sign_in()
    expect(page.get_by_role("heading", name="Pictures")).to_be_visible()
    page.evaluate("sessionStorage.setItem('imagejobs.token', 'revoked')")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The token is not valid any more")
    visit.refused(401)


def test_a_bad_sheet_is_refused_where_it_was_chosen(visit, sheet):
    page = visit.page
    visit.enter()
    visit.choose(HEADER + '1,"Vase\n')
    visit.begin()

    expect(page.get_by_role("alert")).to_contain_text("Line 2: the quote that opens here is never closed")
    visit.refused(400)
    visit.choose(sheet)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_sheet_too_large_for_the_api_goes_into_the_bucket(visit, client, shop):
    notes = [f"Note {n}" for n in range(8)]
    cells = ",".join("x" * 115_000 for _ in notes)
    rows = [f"{n},Mug {n},{shop.url('/mug.webp')},{cells}" for n in range(1, 6)]
    visit.enter()
    visit.choose("\n".join([f"{HEADER.strip()},{','.join(notes)}", *rows]))
    visit.begin()

    expect(visit.page.get_by_role("heading", name="Job of")).to_be_visible()
    expect(visit.page.get_by_text("Finished", exact=True)).to_be_visible()
    assert client.status(visit.page.url.rpartition("/")[2])["images_completed"] == 5


def test_a_lost_connection_costs_nothing(visit, context, client, sheet):
    page = visit.page
    visit.enter()
    visit.choose(sheet)
    context.set_offline(True)
    visit.begin()
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    context.set_offline(False)
    visit.begin()

    expect(page.get_by_role("heading", name="Job of")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    visit.complaints = [said for said in visit.complaints if "ERR_INTERNET_DISCONNECTED" not in said]


def test_an_unknown_job_is_said_with_a_way_on(visit):
    visit.enter("#/job/00000000-0000-0000-0000-000000000000")

    expect(visit.page.get_by_role("alert")).to_contain_text("There is no job")
    visit.refused(404)
    visit.page.get_by_role("link", name="All jobs").click()
    expect(visit.page.get_by_role("heading", name="Compress a catalogue")).to_be_visible()


def test_what_a_sheet_says_is_text_and_nothing_else(visit, client):
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    request_id = client.upload(f'{HEADER}1,"{hostile}",javascript:alert(3)//x.jpg\n')
    client.ended(request_id)
    asked_by_dialogs = []
    visit.page.on("dialog", lambda dialog: asked_by_dialogs.append(dialog.message) or dialog.dismiss())
    visit.enter(f"#/job/{request_id}")

    expect(visit.page.get_by_role("heading", level=3)).to_contain_text(hostile)
    expect(visit.page.locator("main img, main script, a[href^='javascript']")).to_have_count(0)
    assert asked_by_dialogs == []


def test_the_token_stays_out_of_addresses_and_goes_with_the_session(visit, client, shop, finished, stack):
    page = visit.page
    visit.open(f"#/job/{finished}")
    visit.sign_in()
    expect(page.get_by_role("slider").first).to_be_visible()
    assert json.loads(page.evaluate("JSON.stringify(localStorage)")) == {}

    visit.open()
    page.get_by_role("button", name="Sign out").click()
    assert json.loads(page.evaluate("JSON.stringify(sessionStorage)")) == {}
    page.get_by_label("Remember it in this browser").check()
    visit.sign_in()
    expect(page.get_by_role("heading", name="Jobs so far")).to_be_visible()
    assert json.loads(page.evaluate("JSON.stringify(localStorage)")) == {"imagejobs.token": client.token}

    assert [url for url in visit.asked if client.token in url] == []
    known = {urlsplit(url).netloc for url in (client.api_url, stack.image_base_url, shop.url("/"))}
    assert {urlsplit(url).netloc for url in visit.asked} <= known


def test_the_list_of_jobs_leads_to_each_and_follows_the_open_ones(visit, client, shop, gate):
    request_id = client.upload(f"{HEADER}1,Late,{shop.url('/late.jpg')}\n")
    until(lambda: client.status(request_id)["images"])
    visit.enter()
    line = visit.page.locator(f"[data-id='{request_id}']")
    expect(line).to_contain_text("1 picture, 0 % done")
    gate.set()

    expect(line).to_contain_text("1 picture, saved")
    line.get_by_role("link").click()
    expect(visit.page.get_by_role("slider", name="late.jpg")).to_be_visible()

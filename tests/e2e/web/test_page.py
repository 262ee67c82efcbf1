"""The page in a browser: from a dropped CSV to the finished gallery, and what it says when something is wrong."""

import csv
import io
import json
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from playwright.sync_api import expect

from tests.e2e.customer import HEADER, until
from tests.e2e.shops import SAMPLES
from tests.e2e.web.conftest import HOSTILE

SHEETS = Path(__file__).parents[2] / "sheets"


def words(size_bytes):
    """As the page writes a size."""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 999_500 else f"{size_bytes / 1e3:.0f} kB"


def downloaded(page, label):
    """The text of the file that a button brings."""
    with page.expect_download() as download:
        page.get_by_role("button", name=label).click()
    return download.value.path().read_bytes().decode("utf-8")


def table(text):
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def test_from_a_csv_to_the_finished_gallery(visit, context, client, shop, gate):
    page, hook = visit.page, f"/hooks/{uuid4()}"
    visit.enter()
    visit.choose(
        f"{HEADER}1,Jug,{shop.url('/jug.jpg')}\n2,Teapot,{shop.url('/teapot.jpg')}\n3,Late,{shop.url('/late.jpg')}\n"
    )
    page.get_by_label("Save as").select_option(label="WebP")
    page.get_by_label("Tell when done").fill(shop.url(hook))

    # A lost connection costs nothing.
    context.set_offline(True)
    visit.begin()
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    context.set_offline(False)
    visit.complaints = [said for said in visit.complaints if "ERR_INTERNET_DISCONNECTED" not in said]
    visit.begin()

    # While one picture is not done: progress, and the others before and after.
    totals = page.get_by_role("region", name="Progress and totals")
    expect(totals.get_by_role("progressbar")).to_have_attribute("value", "66")
    expect(totals.get_by_text("2 of 3 pictures, 66 %")).to_be_visible()
    expect(page.get_by_role("slider")).to_have_count(1)
    expect(page.get_by_role("button", name="Download the finished CSV")).to_have_count(0)
    request_id = page.url.rpartition("/")[2]
    gate.set()

    # Its end, without a reload.
    expect(page.get_by_text("Finished", exact=True)).to_be_visible()
    job = client.status(request_id)
    expect(totals).to_contain_text(f"Before{words(job['bytes_before'])}")
    expect(totals).to_contain_text(f"After{words(job['bytes_after'])}")
    expect(totals).to_contain_text(f"Saved{words(job['bytes_before'] - job['bytes_after'])}")
    expect(page.get_by_role("slider")).to_have_count(2)
    first = client.images(request_id)[0]
    row = page.get_by_role("listitem").filter(has_text="Row 1 Jug").first
    expect(row).to_contain_text(f"{words(first['bytes_before'])} to {words(first['bytes_after'])}")
    assert table(downloaded(page, "Download the finished CSV")) == table(client.finished_csv(request_id))

    # The report, as soon as it is written.
    with page.expect_popup() as popup:
        page.get_by_role("button", name="Open the report").click()
    expect(popup.value.get_by_role("heading", name="Failures")).to_be_visible()
    popup.value.close()  # a page behind another one asks seldom

    # The webhook, and again.
    attempts = page.get_by_role("region", name="Attempts").get_by_role("row", name="Accepted")
    expect(attempts).to_have_count(1)
    page.get_by_role("button", name="Send it again").click()
    expect(attempts).to_have_count(2)
    assert len(shop.webhooks[hook]) == 2


def test_what_failed_is_done_again_once_it_is_there_or_its_row_is_corrected(visit, client, shop):
    page, missing = visit.page, f"/{uuid4()}.jpg"
    request_id = client.upload(
        f"{HEADER}1,Mug,{shop.url('/mug.webp')}\n2,Jug,{shop.url(missing)}\n3,Badge,{shop.url('/bagde')}\n"
    )
    client.ended(request_id)
    visit.enter(f"#/job/{request_id}")
    expect(page.locator(".card.failed")).to_have_count(2)

    shop.put(missing, (SAMPLES / "jug.jpg").read_bytes())
    page.get_by_role("button", name="Try the failed pictures again").click()
    expect(page.get_by_role("slider", name=missing.removeprefix("/"))).to_be_visible()
    expect(page.locator(".card.failed")).to_have_count(1)

    page.get_by_text("Correct the rows that failed").click()
    failures = downloaded(page, "Download the failures")
    assert [(row["Row"], row["Product Name"]) for row in table(failures)] == [("3", "Badge")]
    visit.choose(failures.replace(",3,", ",three,"), "The corrected file")
    page.get_by_role("button", name="Send the corrections").click()
    expect(page.get_by_role("group").get_by_role("alert")).to_contain_text(
        'Line 2: its cell under "Row" is not the number'
    )
    visit.refused(400)
    visit.choose(failures.replace("/bagde", "/badge.webp"), "The corrected file")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("button", name="Send the corrections").click()

    expect(page.get_by_role("slider", name="badge.webp")).to_be_visible()
    expect(page.get_by_role("slider")).to_have_count(3)
    expect(page.get_by_role("button", name="Try the failed pictures again")).to_have_count(0)
    expect(page.get_by_text("Correct the rows that failed")).to_be_hidden()
    assert client.status(request_id)["generation"] == 3


def test_a_check_compresses_nothing_and_what_it_looked_at_can_be_compressed_then(visit, client, shop):
    page, known = visit.page, f"/{uuid4()}.jpg"
    shop.put(known, (SAMPLES / "jug.jpg").read_bytes() + known.encode())
    rows = [f"1,Known,{shop.url(known)}", f"2,Badge,{shop.url('/badge.webp')}", f"3,Again,{shop.url('/badge.webp')}"]
    sheet = "\n".join([HEADER.strip(), *rows, f"4,Teapot,{shop.url('/teapot.jpg')}"])
    client.ended(client.upload(f"{HEADER}{rows[0]}\n", format="webp", max_width="300"))
    visit.enter()
    visit.choose(sheet)
    page.get_by_label("Save as").select_option(label="WebP")
    page.get_by_text("More options").click()
    page.get_by_label("Greatest width").fill("300")
    page.get_by_role("button", name="Check first").click()

    page.wait_for_url("**/#/job/*")  # the list that is left has earlier checks
    expect(page.get_by_text("Checked", exact=True)).to_be_visible()
    checked = page.url.rpartition("/")[2]
    found = page.get_by_role("region", name="What was found").get_by_role("listitem")
    expect(found).to_have_text(
        [
            "1 picture The shop's server did not give out this picture.",
            "1 picture The same address stands earlier in the sheet; it is done once.",
            "1 picture Unchanged since an earlier job; it costs nothing.",
        ]
    )
    totals = page.get_by_role("region", name="Progress and totals")
    preflight = client.status(checked)["preflight"]
    expect(totals).to_contain_text(f"Files then, about{words(preflight['estimate']['bytes_after'])}")
    expect(totals).not_to_contain_text("Saved")
    expect(page.locator(".card")).to_have_count(4)
    expect(page.get_by_role("slider")).to_have_count(0)
    expect(page.locator(".card").nth(2)).to_contain_text("the same address as in row 2")
    assert [row["Duplicate of Row"] for row in table(downloaded(page, "Download what was found"))] == ["", "", "2", ""]
    page.get_by_role("button", name="Compress these pictures").click()

    expect(page.get_by_text("Finished", exact=True)).to_be_visible()
    expect(page.get_by_role("slider")).to_have_count(3)
    expect(totals).to_contain_text("1 compressed before")
    expect(page.locator(".card").first).to_contain_text("unchanged since it was compressed before")
    real = client.images(page.url.rpartition("/")[2])
    assert {(image["format"], image["width"]) for image in real[:3]} == {("webp", 300)}

    visit.open(f"#/job/{checked}")
    page.reload()  # and the page has the file no longer
    page.get_by_role("link", name="Choose the file again").click()
    expect(page.locator(f"[data-id='{checked}']")).to_contain_text("4 pictures, 1 would fail")


def test_an_export_of_shopify_comes_back_for_its_import(visit, client, shop):
    page = visit.page
    export = (SHEETS / "shopify.csv").read_text(encoding="utf-8").replace("{shop}/", shop.url("/"))
    visit.enter()
    visit.choose(export)
    page.get_by_label("The sheet is").select_option(label="a Shopify export")
    visit.begin()

    expect(page.get_by_text("Read from the columns “Handle”, “Title”, “Image Src” and “Variant Image”")).to_be_visible()
    finished = table(downloaded(page, "Download the finished CSV"))
    sent, images = table(export), client.images(page.url.rpartition("/")[2])
    assert [list(row) for row in finished] == [list(row) for row in sent]
    new = {image["source_url"]: image["image_url"] or image["source_url"] for image in images}
    assert [row["Image Src"] for row in finished] == [new.get(row["Image Src"], "") for row in sent]
    assert any(row["Image Src"] != old["Image Src"] for row, old in zip(finished, sent, strict=True))


def test_a_sheet_of_other_columns_is_read_by_the_names_that_are_typed(visit, shop):
    page = visit.page
    visit.enter()
    visit.choose(f'Key,What,"Big, ""first""",Other\n7,Mug,{shop.url("/mug.webp")},{shop.url("/jug.jpg")}\n')
    page.get_by_text("More options").click()
    page.get_by_label("Column of the number").fill("Key")
    page.get_by_label("Column of the name").fill("What")
    page.get_by_label("Columns of picture addresses").fill('"Big, ""first""", Other')
    visit.begin()

    expect(page.get_by_text('Read from the columns “Key”, “What”, “Big, "first"” and “Other”')).to_be_visible()
    expect(page.get_by_role("slider")).to_have_count(2)


def test_the_gallery_shows_both_pictures_and_only_what_the_address_says(visit, finished):
    page = visit.page
    visit.enter(f"#/job/{finished}")
    pictures = page.locator(".card")

    slider = page.get_by_role("slider", name="vase.jpg: before and after")
    slider.fill("20")
    original, compressed = page.get_by_alt_text("vase.jpg, original"), page.get_by_alt_text("vase.jpg, compressed")
    for picture in (original, compressed):
        page.wait_for_function("picture => picture.complete && picture.naturalWidth > 0", arg=picture.element_handle())
    expect(original).to_have_css("clip-path", "inset(0px 80% 0px 0px)")
    expect(compressed).to_have_css("clip-path", "inset(0px 0px 0px 20%)")
    expect(slider).to_have_attribute("aria-valuetext", "20 % original")

    page.get_by_role("radio", name="Failed 2").check()
    expect(pictures).to_have_count(2)
    expect(page.get_by_role("heading", name="Row 3 Sold-out teapot")).to_be_visible()
    expect(pictures.first).to_contain_text("The shop's server did not give out this picture")
    expect(pictures.first).to_contain_text("The origin answered 404")
    assert page.url.endswith(f"#/job/{finished}?show=failed")

    page.get_by_role("radio", name="All 5").check()
    page.get_by_label("Find a product").fill("vase")
    expect(page.get_by_text("2 pictures found.")).to_be_visible()
    assert page.url.endswith(f"#/job/{finished}?find=vase")
    page.reload()
    expect(pictures).to_have_count(2)
    expect(page.get_by_label("Find a product")).to_have_value("vase")


def test_what_a_sheet_says_is_text_and_nothing_else(visit, finished):
    asked_by_dialogs = []
    visit.page.on("dialog", lambda dialog: asked_by_dialogs.append(dialog.message) or dialog.dismiss())
    visit.enter(f"#/job/{finished}?show=failed")

    expect(visit.page.get_by_role("heading", level=3).last).to_contain_text(HOSTILE)
    expect(visit.page.locator("main img, main script, a[href^='javascript']")).to_have_count(0)
    assert asked_by_dialogs == []


def test_a_job_of_many_rows_comes_in_parts(visit, client, shop):
    request_id = client.upload(HEADER + "".join(f"{n},Mug {n},{shop.url('/mug.webp')}\n" for n in range(1, 122)))
    client.ended(request_id)
    visit.enter(f"#/job/{request_id}")
    pictures = visit.page.locator(".card")

    expect(visit.page.get_by_text("60 of 121 pictures.")).to_be_visible()
    visit.page.get_by_role("button", name="Show more").click()
    expect(pictures).to_have_count(120)
    visit.page.get_by_role("button", name="Show more").click()

    expect(pictures).to_have_count(121)
    expect(visit.page.get_by_role("button", name="Show more")).to_have_count(0)
    rows = visit.page.get_by_role("heading", level=3)
    assert [int(name.split()[1]) for name in rows.all_text_contents()] == list(range(1, 122))


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


def test_the_token_stays_out_of_addresses_and_goes_with_the_session(visit, client, shop, finished, stack):
    page = visit.page
    visit.open(f"#/job/{finished}")
    visit.sign_in()
    expect(page.get_by_role("slider").first).to_be_visible()
    assert json.loads(page.evaluate("JSON.stringify(localStorage)")) == {}

    page.goto(client.api_url)  # without the slash at its end
    page.get_by_role("button", name="Sign out").click()
    assert json.loads(page.evaluate("JSON.stringify(sessionStorage)")) == {}
    page.get_by_label("Remember it in this browser").check()
    visit.sign_in()
    expect(page.get_by_role("heading", name="Jobs so far")).to_be_visible()
    assert json.loads(page.evaluate("JSON.stringify(localStorage)")) == {"imagejobs.token": client.token}

    assert [url for url in visit.asked if client.token in url] == []
    known = {urlsplit(url).netloc for url in (client.api_url, stack.image_base_url, shop.url("/"))}
    assert {urlsplit(url).netloc for url in visit.asked} <= known


def test_the_list_of_jobs_follows_the_open_ones_and_leads_to_one_that_is_cancelled(visit, client, shop, gate):
    request_id = client.upload(f"{HEADER}1,Late,{shop.url('/late.jpg')}\n")
    until(lambda: client.status(request_id)["images"])
    page = visit.page
    visit.enter()
    line = page.locator(f"[data-id='{request_id}']")
    expect(line).to_contain_text("1 picture, 0 % done")

    line.get_by_role("link").click()
    with page.expect_response("**/cancel"):  # before the picture is done, or there is nothing to cancel
        page.get_by_role("button", name="Cancel the job").click()
    page.get_by_role("link", name="All jobs").click()
    expect(line).to_contain_text("Working")
    gate.set()

    expect(line).to_contain_text("Cancelled")
    expect(line).to_contain_text("1 picture, saved")

"""Steps `api` and `fan_out`: the images of a row, as Postgres has them before anybody works on them."""

from collections.abc import Iterator
from typing import Any

from imagejobs.addresses import MAX_URL_CHARACTERS
from imagejobs.sheet import SheetRow

# Text that is kept beside an image to tell it by; the whole of it is in the sheet.
MAX_NAME_CHARACTERS = 500
# A longer URL is refused by the fetcher all the same.
MAX_SOURCE_URL_CHARACTERS = MAX_URL_CHARACTERS + 1


def staged_images(row: SheetRow) -> Iterator[dict[str, Any]]:
    """Columns of `compressed_images`, an image each; none for a row that cannot be used."""
    serial_number, product_name = row.serial_number[:MAX_NAME_CHARACTERS], row.product_name[:MAX_NAME_CHARACTERS]
    for position, url in enumerate(row.image_urls, start=1):
        yield {
            "row_number": row.row_number,
            "position": position,
            "serial_number": serial_number,
            "product_name": product_name,
            "source_url": url[:MAX_SOURCE_URL_CHARACTERS],
        }

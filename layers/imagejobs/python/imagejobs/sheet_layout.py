"""Steps `api`, `fan_out` and `finalize`: what a user's CSV looks like, as form fields say it."""

import json
import re
from dataclasses import dataclass
from typing import Any

from imagejobs.fields import Choice
from imagejobs.form_fields import FormFields, option

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
RESULTS = ("append", "replace")

MAX_COLUMNS_CHARACTERS = 4_000
"""Of the text of `columns`, which is kept in the job's row."""

_ALLOWED_COLUMNS = (
    'a JSON object such as {"id": "Handle", "name": "Title", "urls": ["Image Src", "Variant Image"]} is allowed, '
    "with any of these three keys, and each column of URLs once"
)


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The columns that the service reads, by the names that a header has for them.

    Attributes:
        id: Of what the rows of one product share; None where the user does not say.
        name: Of the product's name; None likewise.
        urls: Of those with image URLs; empty likewise.
    """

    id: str | None = None
    name: str | None = None
    urls: tuple[str, ...] = ()

    def over(self, others: "ColumnNames") -> "ColumnNames":
        """These, and those of `others` where these say nothing."""
        return ColumnNames(self.id or others.id, self.name or others.name, self.urls or others.urls)

    def __str__(self) -> str:
        """The JSON that `columns` is given as."""
        said = {"id": self.id, "name": self.name, "urls": list(self.urls)}
        return json.dumps({key: value for key, value in said.items() if value})


DEFAULT_COLUMNS = ColumnNames("S. No.", "Product Name", ("Input Image Urls",))

# Each shop's own export, and where its header has changed, the older form first. Shopify: the columns of
# https://help.shopify.com/en/manual/products/import-export/using-csv, whose template has had others since 2025.
# WooCommerce: `get_default_column_names` of its WC_Product_CSV_Exporter.
PRESETS = {
    "shopify": (
        ColumnNames("Handle", "Title", ("Image Src", "Variant Image")),
        ColumnNames("URL handle", "Title", ("Product image URL", "Variant image URL")),
    ),
    "woocommerce": (ColumnNames("ID", "Name", ("Images",)),),
}


def normalized(column: str) -> str:
    """A column's name as it is compared: without white space, in one case."""
    return "".join(column.split()).casefold()


@dataclass(frozen=True, slots=True)
class _ColumnsJson:
    """The JSON of column names."""

    def __call__(self, text: str) -> ColumnNames:
        """Return the names."""
        try:
            said = json.loads(text[: MAX_COLUMNS_CHARACTERS + 1])
        except (ValueError, RecursionError):
            raise ValueError(_ALLOWED_COLUMNS) from None
        if len(text) > MAX_COLUMNS_CHARACTERS or not isinstance(said, dict) or not said or said.keys() - {*_KEYS}:
            raise ValueError(_ALLOWED_COLUMNS)
        return _column_names(said)

    def schema(self) -> dict[str, Any]:
        """A string that holds an object."""
        return {"type": "string", "contentMediaType": "application/json", "maxLength": MAX_COLUMNS_CHARACTERS}


def _column_names(said: dict[str, Any]) -> ColumnNames:
    urls = [said["urls"]] if isinstance(said.get("urls"), str) else said.get("urls", [])
    names = [*urls, *(said[key] for key in ("id", "name") if key in said)] if isinstance(urls, list) else [None]
    if not all(map(_is_name, names)) or ("urls" in said) != bool(urls):
        raise ValueError(_ALLOWED_COLUMNS)
    if len({normalized(name) for name in urls}) < len(urls):
        raise ValueError(_ALLOWED_COLUMNS)
    return ColumnNames(said.get("id"), said.get("name"), tuple(urls))


_KEYS = ("id", "name", "urls")
# JSON has both in escapes; no header has either, and Postgres takes neither in text.
_NUL_OR_SURROGATE = re.compile("[\0\ud800-\udfff]")


def _is_name(name: Any) -> bool:  # noqa: ANN401 whatever the JSON had there
    return isinstance(name, str) and bool(name.strip()) and not _NUL_OR_SURROGATE.search(name)


@dataclass(frozen=True, slots=True)
class SheetLayout(FormFields):
    """What a CSV looks like, and what comes back; the API's description shows these words to its users.

    Args:
        preset: The shop whose export the CSV is. Its finished CSV can be imported there: the new URLs stand where the
            old ones stood, and nothing else is changed.
        columns: What the columns are called: a JSON object with `id`, `name` and `urls` (one name, or a list of several
            columns with URLs). Those that it leaves out have the names of the preset, or else the service's own. With
            it, or with a preset, rows may share an id and need name no image.
        column_separator: What stands between two columns.
        result: `append` adds the outcome in columns of its own; `replace` puts new URLs in the places of the old ones
            and adds nothing, and a failed image keeps its old URL. By default a preset replaces, all else is appended.

    Raises:
        OptionInvalid: A value is out of its range.
    """

    preset: str | None = option(None, Choice(tuple(PRESETS)))
    columns: ColumnNames | None = option(None, _ColumnsJson())  # noqa: RUF009 frozen
    column_separator: str = option("comma", Choice(tuple(SEPARATORS)))
    result: str | None = option(None, Choice(RESULTS))

    @property
    def separator(self) -> str:
        """The character between two cells."""
        return SEPARATORS[self.column_separator]

    @property
    def is_mapped(self) -> bool:
        """Whether the columns are the user's own: then rows may share an id, and need name no image."""
        return self.preset is not None or self.columns is not None

    @property
    def replaces(self) -> bool:
        """Whether new URLs take the places of the old ones, and no column is added."""
        return (self.result or ("replace" if self.preset else "append")) == "replace"

    @property
    def keeps_cells(self) -> bool:
        """Whether the user's own cells come back as they are, for an importer, even what a spreadsheet would run."""
        return self.preset is not None

    @property
    def may_lack_url_columns(self) -> bool:
        """Whether one of the columns of URLs is enough: of a preset's own, since exports may be cut."""
        return self.preset is not None and not (self.columns and self.columns.urls)

    def headers(self) -> tuple[ColumnNames, ...]:
        """The names that the header may have, one set of them."""
        own = self.columns or ColumnNames()
        return tuple(own.over(names) for names in (PRESETS[self.preset] if self.preset else (DEFAULT_COLUMNS,)))

"""The bodies of requests: which fields the form of each operation has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypedDict, get_type_hints

from imagejobs.answers import Url
from imagejobs.limits import MAX_UPLOAD_BYTES
from imagejobs.options import CompressionOptions
from imagejobs.sheet_layout import SheetLayout
from openapi.schemas import Schema, Schemas, form_fields, required_fields

Csv = Annotated[str, ("contentMediaType", "text/csv")]


class LaterUploadFields(TypedDict):
    """What an upload has beside its options whose CSV is sent later."""

    webhook_url: NotRequired[Url]
    """Gets one signed POST when the job has ended."""


class UploadFields(LaterUploadFields):
    """What an upload has beside its options."""

    file: Csv
    """CSV in UTF-8, or a gzip of one, with the columns `S. No.`, `Product Name` and `Input Image Urls`, or those that
    `preset` and `columns` say; several URLs in a cell are separated by `,`, `|`, `;` or line breaks. Other columns are
    kept."""


class CorrectionFields(TypedDict):
    """What comes back of the rows that failed."""

    file: Csv
    """The job's failures.csv, its cells corrected; its columns, `Row` among them, and no other rows."""


@dataclass(frozen=True, slots=True)
class Form:
    """A request's body.

    Attributes:
        fields: A TypedDict of this module.
        options: Dataclasses that read further fields; each of these may be left out.
        required: Whether there must be a body at all.
        media_types: That it may be sent as.
    """

    fields: type
    options: tuple[type, ...] = ()
    required: bool = True
    media_types: tuple[str, ...] = ("multipart/form-data",)

    def schema(self) -> Schema:
        """An object of all fields, first those that must be there."""
        required = required_fields(self.fields)
        properties = Schemas().fields(self.fields)
        for options in self.options:
            properties |= form_fields(options)
        if "file" in properties:
            properties["file"]["description"] += f" At most {MAX_UPLOAD_BYTES:,} bytes."
        return {
            "type": "object",
            "required": required,
            "additionalProperties": False,
            "properties": dict(sorted(properties.items(), key=lambda field: field[0] not in required)),
        }

    def files(self) -> Mapping[str, Any]:
        """Which fields are files: their media types, as OpenAPI's `encoding`."""
        hints = get_type_hints(self.fields, include_extras=True)
        return {name: {"contentType": "text/csv"} for name, kind in hints.items() if kind is Csv}


FORMS: Mapping[str, Form] = {
    "upload": Form(UploadFields, options=(CompressionOptions, SheetLayout)),
    "retry": Form(CorrectionFields, required=False),
    "uploads": Form(
        LaterUploadFields,
        options=(CompressionOptions, SheetLayout),
        required=False,
        media_types=("application/json", "multipart/form-data"),
    ),
}
"""By the name of the handler."""

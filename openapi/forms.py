"""The bodies of requests: which fields the form of each operation has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypedDict, get_type_hints

from imagejobs.answers import Url
from imagejobs.limits import MAX_UPLOAD_BYTES
from imagejobs.options import CompressionOptions
from openapi.schemas import Schema, Schemas, form_fields, required_fields

Csv = Annotated[str, ("contentMediaType", "text/csv")]


class UploadFields(TypedDict):
    """What an upload has beside its options."""

    file: Csv
    """CSV in UTF-8 with the columns `S. No.`, `Product Name` and `Input Image Urls` (comma-separated URLs in the cell).
    Other columns are kept."""
    webhook_url: NotRequired[Url]
    """Gets one signed POST when the job has ended."""


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
        """An object of all fields."""
        properties = Schemas().fields(self.fields)
        for options in self.options:
            properties |= form_fields(options)
        if "file" in properties:
            properties["file"]["description"] += f" At most {MAX_UPLOAD_BYTES:,} bytes."
        return {
            "type": "object",
            "required": required_fields(self.fields),
            "additionalProperties": False,
            "properties": properties,
        }

    def files(self) -> Mapping[str, Any]:
        """Which fields are files: their media types, as OpenAPI's `encoding`."""
        hints = get_type_hints(self.fields, include_extras=True)
        return {name: {"contentType": "text/csv"} for name, kind in hints.items() if kind is Csv}


FORMS: Mapping[str, Form] = {"upload": Form(UploadFields, options=(CompressionOptions,))}
"""By the name of the handler."""

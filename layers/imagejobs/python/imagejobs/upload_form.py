"""Step `api`: takes the form of `POST /upload` apart, and the fields of `POST /uploads`."""

import io
import json
from dataclasses import dataclass

from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartParser,
    MultipartPart,
    ParserLimitReached,
    parse_options_header,
)

from imagejobs.errors import UploadInvalid

_FILE_FIELD = "file"
_MAX_PARTS = 64
_EXAMPLE = "Send it like this: curl -F file=@products.csv"


@dataclass(frozen=True, slots=True)
class UploadForm:
    """The form of one upload.

    Attributes:
        file: The CSV's bytes, never empty.
        fields: Every other field by its name, decoded from UTF-8.
    """

    file: bytes
    fields: dict[str, str]


def parse_upload_form(content_type: str | None, body: bytes) -> UploadForm:
    """Parse a `multipart/form-data` body (RFC 7578) with exactly one non-empty part named `file`.

    That part may be sent as a file or as plain text: what counts is its name. The body stays in memory,
    which the payload limit of Lambda keeps below 6 MB.

    Args:
        content_type: The request's Content-Type header, None when it has none.
        body: The request's body, decoded from base64.

    Raises:
        UploadInvalid: It is not such a form, or a field is sent twice or is not UTF-8.
    """
    parts = _parse_parts(_boundary(content_type), body)
    names = [part.name for part in parts]
    file = next((part.raw for part in parts if part.name == _FILE_FIELD), None)
    if file is None:
        raise _no_file(names)
    if not file:
        raise UploadInvalid(f'The part "{_FILE_FIELD}" is empty. {_EXAMPLE}')
    return UploadForm(file, {part.name: _text(part) for part in parts if part.name != _FILE_FIELD})


def parse_fields(content_type: str | None, body: bytes) -> dict[str, str]:
    """Parse the fields of an upload whose file comes later: a JSON object, or a multipart form, or no body at all.

    What is no text in JSON becomes its JSON, as a form has it: 80, true, {"id": "Handle"}.

    Raises:
        UploadInvalid: It is none of these, a field is sent twice or is not UTF-8, or the file is sent along.
    """
    if not body:
        return {}
    media_type, _ = parse_options_header(content_type or "")
    if media_type == "application/json":
        return _json_fields(body)
    if media_type != "multipart/form-data":
        raise UploadInvalid("The fields come as application/json or as multipart/form-data; without any, send no body.")
    fields = {part.name: _text(part) for part in _parse_parts(_boundary(content_type), body)}
    if _FILE_FIELD in fields:
        raise UploadInvalid(
            f'The part "{_FILE_FIELD}" is sent here; it goes to the `url` that this answers, or to POST /upload.'
        )
    return fields


def _json_fields(body: bytes) -> dict[str, str]:
    try:
        fields = json.loads(body, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise UploadInvalid("The body is not JSON, as its Content-Type says.") from error
    if not isinstance(fields, dict):
        raise UploadInvalid('The body is JSON, but no object such as {"quality": 80}.')
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}


def _number(text: str) -> int | float:
    """80.0 is a whole number to JSON Schema (https://json-schema.org/draft/2020-12, core, 4.2.3), so to us."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _boundary(content_type: str | None) -> str:
    media_type, options = parse_options_header(content_type or "")
    if media_type != "multipart/form-data":
        sent = f"it is {_shown(media_type)}" if media_type else "there is none"
        raise UploadInvalid(f"The Content-Type must be multipart/form-data; {sent}. {_EXAMPLE}")
    boundary: str = options.get("boundary", "")
    if not boundary:
        raise UploadInvalid(
            "The Content-Type multipart/form-data lacks its boundary. "
            f"Let the client write that header instead of setting it by hand. {_EXAMPLE}"
        )
    return boundary


def _parse_parts(boundary: str, body: bytes) -> list[MultipartPart]:
    # Limits and buffer as large as the body keep every part out of temporary files, and let the parser see
    # the body's end whole: cut before its last CRLF, strict mode would take those two bytes for excess data.
    size = len(body) + 1
    parser = MultipartParser(
        io.BytesIO(body),
        boundary,
        strict=True,
        buffer_size=size,
        part_limit=_MAX_PARTS,
        spool_limit=size,
        memory_limit=size,
    )
    try:
        parts: list[MultipartPart] = parser.parts()
    except ParserLimitReached as error:
        raise UploadInvalid(
            f"The form has more than {_MAX_PARTS} parts, or a part's headers are too long. {_EXAMPLE}"
        ) from error
    except (MultipartError, UnicodeError) as error:
        reason = error.args[0] if isinstance(error, MultipartError) else "Invalid characters in boundary"
        raise UploadInvalid(f"The multipart body cannot be read ({reason}). {_EXAMPLE}") from error
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise UploadInvalid(f"The field {_shown(name)} is sent {names.count(name)} times. Send it once.")
    return parts


def _no_file(names: list[str]) -> UploadInvalid:
    found = f"the fields are {', '.join(map(_shown, names[:10]))}" if names else "it has no fields"
    return UploadInvalid(f'The form lacks the part "{_FILE_FIELD}" with the CSV; {found}. {_EXAMPLE}')


def _text(part: MultipartPart) -> str:
    try:
        return str(part.raw, "utf-8")
    except UnicodeDecodeError as error:
        raise UploadInvalid(
            f"The field {_shown(part.name)} is not UTF-8 text. "
            f'The CSV itself belongs into the part "{_FILE_FIELD}". {_EXAMPLE}'
        ) from error


def _shown(name: str, max_characters: int = 40) -> str:
    return f'"{name}"' if len(name) <= max_characters else f'"{name[:max_characters]}…"'

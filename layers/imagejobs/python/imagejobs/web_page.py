"""api: the page for people, and what their browsers are told to keep to.

The files in `web/` are served as they lie there. Their addresses hold a digest of them all, so that a browser may keep
them for good, and takes none of an older deployment's from its cache.
"""

import hashlib
import html
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from urllib.parse import urlsplit

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from imagejobs.http import PAGE_HEADERS, base_url

PAGE = "index.html"
_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# In the page's addresses: what stands for the path of the API, and for the digest.
_BASE_PATH, _VERSION = "{base_path}", "{version}"

# Scripts and styles are the page's own files. Pictures come from the stack's public URL and any shop. Strings never
# become HTML: the browser itself refuses it.
_RULES = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' https: http:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)


@cache
def contents() -> dict[str, str]:
    """The text of every file, by name."""
    return dict(_read())


@cache
def version() -> str:
    """A digest of all files."""
    return _digest(repr(sorted(contents().items())))


def page(event: APIGatewayProxyEvent, upload_origin: str) -> Response[str]:
    """The page. Its addresses begin with the API's path: it may be asked for with a slash at its end or without.

    Args:
        event: The request.
        upload_origin: What the page may talk to besides the API: where it sends large files.
    """
    base_path = urlsplit(base_url(event)).path.rstrip("/")
    markup = contents()[PAGE].replace(_BASE_PATH, html.escape(base_path)).replace(_VERSION, version())
    etag = f'"{_digest(markup)}"'
    policy = "; ".join((*_RULES, f"connect-src 'self' {upload_origin}"))
    headers = {"Cache-Control": "no-cache", "ETag": etag, "Content-Security-Policy": policy}
    if event.headers.get("if-none-match") == etag:
        return _answer(HTTPStatus.NOT_MODIFIED, PAGE, headers)
    return _answer(HTTPStatus.OK, PAGE, headers, markup)


def file(asked_version: str, name: str) -> Response[str] | None:
    """One of the page's files; None when there is no such file.

    While a deployment goes on, a page of the other version may ask: it gets what there is, and keeps it for that once.
    """
    if name == PAGE or name not in contents():
        return None
    caching = "public, max-age=31536000, immutable" if asked_version == version() else "no-store"
    return _answer(HTTPStatus.OK, name, {"Cache-Control": caching}, contents()[name])


def _answer(http_status: int, name: str, headers: dict[str, str], body: str = "") -> Response[str]:
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    return Response(http_status, media_type, body, {**PAGE_HEADERS, **headers})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read() -> Iterator[tuple[str, str]]:
    for entry in (files(__package__) / "web").iterdir():
        yield entry.name, entry.read_text(encoding="utf-8")

"""Steps `api`, `fan_out` and `finalize`: one cell with several URLs, taken apart and put together again."""

import re
from collections.abc import Iterator

URL_SEPARATORS = (",", "|", ";", "\n")
"""What ends a URL where another one follows; a line break may be CR, too. URLs hold the first three as well, so only
one before a scheme ends one."""

# Every white space that `str.isspace` knows, but for CR and LF.
_SPACE = "\t\x0b\x0c\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_AROUND = ",|;\r\n" + _SPACE

# A separator and all that stands around it; the possessive quantifier keeps the search linear.
_JOINT = re.compile(rf"[,|;\r\n][{_AROUND}]*+")
_SCHEME = re.compile("https?://", re.IGNORECASE)


def urls_of(cell: str) -> list[str]:
    """The URLs, or whatever stands in their place; none in an empty cell."""
    return [url for url in _pieces(cell)[1::2] if url]


def joints_of(cell: str) -> Iterator[set[str]]:
    """For each two neighbours among the URLs, the `URL_SEPARATORS` between them."""
    for joint in _pieces(cell)[2:-1:2]:
        yield {"\n" if character == "\r" else character for character in joint} & {*URL_SEPARATORS}


def with_urls(cell: str, urls: Iterator[str]) -> str:
    """The cell with other URLs in the places of its own, and all that stands around them as it was.

    Args:
        cell: As in the sheet.
        urls: At least as many as `urls_of` finds; no more than those are taken.
    """
    pieces = _pieces(cell)
    pieces[1::2] = [next(urls) if url else url for url in pieces[1::2]]
    return "".join(pieces)


def _pieces(cell: str) -> list[str]:
    """What stands before the first URL, that URL, what joins it with the next one, and so on to what follows all."""
    bare = cell.lstrip(_AROUND)
    urls = bare.rstrip(_AROUND)
    pieces, begin = [cell[: len(cell) - len(bare)]], 0
    if urls.rfind("://") > len("https"):  # else there is one
        for joint in _JOINT.finditer(urls):
            if _SCHEME.match(urls, joint.end()):
                url = urls[begin : joint.start()].rstrip(_SPACE)
                pieces += [url, urls[begin + len(url) : joint.end()]]
                begin = joint.end()
    return [*pieces, urls[begin:], bare[len(urls) :]]

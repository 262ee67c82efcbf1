"""Step `compress`: author and owner from XMP (ISO 16684-1), which strangers may have written.

expat is a C parser without recursion. A document type is refused, so there are no entities to expand and none to fetch;
the packet has few bytes, and of its text only that of two properties is held.
"""

from xml.parsers import expat

MAX_PACKET_BYTES = 65_536
"""What a segment of a JPEG holds. Expanded namespaces make 250 MB and 0.5 s of as many, at the worst."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
_DC = "http://purl.org/dc/elements/1.1/ "
_CREATOR, _RIGHTS = f"{_DC}creator", f"{_DC}rights"
_ITEM = f"{_RDF}li"
_ARRAYS = frozenset({f"{_RDF}Seq", f"{_RDF}Bag", f"{_RDF}Alt"})
_DESCRIPTION = [f"{_RDF}RDF", f"{_RDF}Description"]
_KNOWN = {name: name for name in (_CREATOR, _RIGHTS, _ITEM, *_ARRAYS, *_DESCRIPTION)}
_LANGUAGE = "http://www.w3.org/XML/1998/namespace lang"


def read_creator_and_rights(packet: bytes) -> tuple[list[str], str]:
    """Return the texts of dc:creator, and that of dc:rights in the default language, or else the first.

    Nothing where there is none, or where the packet is damaged, too large or has a document type.

    Args:
        packet: UTF-8, as JPEG, PNG and WebP hold it (ISO 16684-3).
    """
    if len(packet) > MAX_PACKET_BYTES:
        return [], ""
    reader = _Reader()
    try:
        reader.read(packet.strip(b"\0 \t\r\n"))
    except (expat.ExpatError, ValueError):
        return [], ""
    creators = [text for _, text in reader.items[_CREATOR]]
    rights = sorted(reader.items[_RIGHTS], key=lambda item: item[0] != "x-default")
    return creators, rights[0][1] if rights else ""


class _Reader:
    """Collects the items of both properties.

    Attributes:
        items: Of each property, the language (or "") and the text of every item.
    """

    def __init__(self) -> None:
        self.items: dict[str, list[tuple[str, str]]] = {_CREATOR: [], _RIGHTS: []}
        self._path: list[str] = []
        self._language = ""
        self._text: list[str] = []

    def read(self, packet: bytes) -> None:
        # The encoding is said here, so that no name of another in the packet makes Python import it. Without interning,
        # the names of elements, which a namespace makes long, are not held.
        parser = expat.ParserCreate("UTF-8", " ", intern=None)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_document_type
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._add
        parser.Parse(packet, True)  # noqa: FBT003 expat takes no keywords

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(_KNOWN.get(name, ""))
        if self._property:
            self._language, self._text = attributes.get(_LANGUAGE, ""), []

    def _end(self, _: str) -> None:
        if self._property:
            if text := "".join(self._text).strip():
                self.items[self._property].append((self._language, text))
            self._text = []
        self._path.pop()

    def _add(self, text: str) -> None:
        if self._property:
            self._text.append(text)

    @property
    def _property(self) -> str:
        """The property that what is open now is an item of; "" in any other place.

        The path to it is rdf:RDF, rdf:Description, the property, an array, rdf:li. Some write a text into the property
        itself.
        """
        end = self._path[-5:]
        if end[-1:] == [_ITEM] and _ARRAYS.issuperset(end[-2:-1]):
            end = end[:-2]
        return end[-1] if end[-3:-1] == _DESCRIPTION and end[-1] in self.items else ""


def _refuse_document_type(*_: object) -> None:
    raise ValueError("XMP has no document type.")

"""Step `api`: how the text of a form field or parameter is read, and the same rule as JSON Schema.

Each class is one kind of text: called with it, it returns the value, or raises ValueError with what is allowed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

_YES_OR_NO = {"true": True, "false": False}


class TextReader(Protocol):
    """What reads one kind of text."""

    def __call__(self, text: str) -> Any:  # noqa: ANN401 each kind's own type
        """Return the value, or raise ValueError with what is allowed."""

    def schema(self) -> dict[str, Any]:
        """The same rule as JSON Schema."""


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """Decimal digits of a number from `least` to `most`, both included."""

    least: int
    most: int

    def __call__(self, text: str) -> int:
        """Return the number."""
        if not re.fullmatch(r"[0-9]{1,5}", text) or not self.least <= int(text) <= self.most:
            raise ValueError(f"a whole number from {self.least} to {self.most} is allowed")
        return int(text)

    def schema(self) -> dict[str, Any]:
        """An integer between the two."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words, at least two."""

    words: tuple[str, ...]

    def __call__(self, text: str) -> str:
        """Return the word."""
        if text not in self.words:
            raise ValueError(f"{', '.join(self.words[:-1])} and {self.words[-1]} are allowed")
        return text

    def schema(self) -> dict[str, Any]:
        """An enumeration."""
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Matching:
    """Text that a pattern matches as a whole.

    Attributes:
        pattern: A regular expression that Python and ECMA-262 read alike.
        allowed: What the person reads who sent something else.
        value_of: Makes the value of a text that matches, or raises ValueError; the text itself without it.
    """

    pattern: str
    allowed: str
    value_of: Callable[[str], Any] = str

    def __call__(self, text: str) -> Any:  # noqa: ANN401 what `value_of` makes
        """Return the text's value."""
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.allowed)
        return self.value_of(text)

    def schema(self) -> dict[str, Any]:
        """A string with the pattern."""
        return {"type": "string", "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True, slots=True)
class YesOrNo:
    """`true` or `false`."""

    def __call__(self, text: str) -> bool:
        """Return the truth value."""
        if text not in _YES_OR_NO:
            raise ValueError("true and false are allowed")
        return _YES_OR_NO[text]

    def schema(self) -> dict[str, Any]:
        """A truth value."""
        return {"type": "boolean"}

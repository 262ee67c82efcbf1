"""Step `finalize`: the columns that a preflight adds to the user's rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagejobs.estimate import Seen
from imagejobs.preflight import seen_of, warnings_of
from imagejobs.result_sheet import by_image, row_status, write_beside
from imagejobs.sheet import SheetForm, SheetRow

PREFLIGHT_COLUMNS = ("Status", "Error", "Bytes Before", "Width x Height", "Format", "Duplicate of Row", "Warnings")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a preflight found of one image.

    Attributes:
        error: Why a real run would fail at it, a sentence; None when its start shows no reason.
        seen: What its start shows; None with an error.
        duplicate_of: The row in which its URL stands first; None where that is here.
    """

    error: str | None
    seen: Seen | None
    duplicate_of: int | None


def finding_of(image: Mapping[str, Any]) -> Finding:
    """What was found, by a row of `compressed_images` that is done."""
    seen = None if image["error_code"] else seen_of(image)
    return Finding(image["error_message"], seen, image["same_as_row_number"])


def write_findings(form: SheetForm, rows: Iterable[tuple[SheetRow, Sequence[Finding]]]) -> Iterator[bytes]:
    """Yield the user's CSV with what was found beside it.

    Args:
        form: Of the user's CSV.
        rows: All of its rows, each with its images' findings in the order of its URLs.
    """
    return write_beside(form, PREFLIGHT_COLUMNS, ((row, _cells(row, findings)) for row, findings in rows))


def _cells(row: SheetRow, findings: Sequence[Finding]) -> tuple[str, ...]:
    """Sizes and formats are in the order of the row's URLs."""
    seen = [finding.seen for finding in findings]
    usable = [each for each in seen if each]
    return (
        row_status(row, len(usable), len(findings)),
        row.error.message if row.error else by_image([finding.error for finding in findings]),
        str(sum(each.bytes for each in usable)) if usable else "",
        ",".join(f"{each.width}x{each.height}" if each else "" for each in seen),
        ",".join(each.format if each else "" for each in seen),
        by_image([str(finding.duplicate_of) if finding.duplicate_of else None for finding in findings]),
        by_image([", ".join(warnings_of(each).values()) if each else None for each in seen]),
    )

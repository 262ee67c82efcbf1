"""What a campaign counts: one line of the report."""

from dataclasses import astuple, dataclass, field, fields

from reliability.ledger import Verdict


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of one or more campaigns.

    Attributes:
        runs: Jobs that something was planned against.
        kills: Processes that were killed with SIGKILL.
        duplicates: Copies of messages and events that were sent.
        faults: Calls, commits, downloads and webhooks that were made to fail, and outages of Postgres.
        jobs: Jobs that were judged.
        rows: Rows of their sheets.
        lost: Findings of that kind; see `reliability.ledger`.
        doubled: Findings of that kind.
        stuck: Findings of that kind.
        findings: All findings, a sentence each.
    """

    runs: int = 0
    kills: int = 0
    duplicates: int = 0
    faults: int = 0
    jobs: int = 0
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    findings: tuple[str, ...] = field(default=())

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled or stuck."""
        return not (self.lost or self.doubled or self.stuck)

    @classmethod
    def columns(cls) -> list[str]:
        """The names of the counts."""
        return [each.name for each in fields(cls) if each.name != "findings"]

    @classmethod
    def of(cls, verdict: Verdict) -> "Tally":
        """The findings of a verdict, counted."""
        return cls(
            lost=len(verdict.lost),
            doubled=len(verdict.doubled),
            stuck=len(verdict.stuck),
            findings=tuple(verdict.findings),
        )

"""What a campaign counts: one line of the report."""

from dataclasses import dataclass, field

from reliability.counts import Counts
from reliability.ledger import Verdict


@dataclass(frozen=True, slots=True)
class Tally(Counts):
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

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled or stuck."""
        return not (self.lost or self.doubled or self.stuck)

    @classmethod
    def of(cls, verdict: Verdict) -> "Tally":
        """The findings of a verdict, counted."""
        return cls(
            lost=len(verdict.lost),
            doubled=len(verdict.doubled),
            stuck=len(verdict.stuck),
            findings=tuple(verdict.findings),
        )

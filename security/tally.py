"""What a campaign counts: one line of the report."""

from dataclasses import dataclass, field

from reliability.counts import Counts


@dataclass(frozen=True, slots=True)
class Tally(Counts):
    """The counts of one or more campaigns. All but `cases` must be 0.

    Attributes:
        cases: Hostile things that were tried: URLs, files, requests, connections, places that were searched.
        private_connections: Connections of the functions to addresses that are not public and were not allowed.
        worker_deaths: Processes of functions that ended by themselves.
        server_errors: Answers of the API with a 5xx.
        secrets: Secrets found where none may be.
        wrong: Other things that are not as promised, such as a harmed caller or an undescribed answer.
        findings: What is behind every number that is not 0, a sentence each.
    """

    cases: int = 0
    private_connections: int = 0
    worker_deaths: int = 0
    server_errors: int = 0
    secrets: int = 0
    wrong: int = 0
    findings: tuple[str, ...] = field(default=())

    @property
    def is_clean(self) -> bool:
        """Whether everything was as promised."""
        return not (self.private_connections or self.worker_deaths or self.server_errors or self.secrets or self.wrong)

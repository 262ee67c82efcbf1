"""Step Functions: starts the finalizer once a generation, however often it is asked to."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import boto3

from imagejobs.settings import required

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient

    from imagejobs.database import Database

# An execution in one of these will not go on by itself.
STOPPED = frozenset({"FAILED", "ABORTED", "TIMED_OUT"})


class Finalizer:
    """The finalizer's state machine.

    Args:
        client: A boto3 Step Functions client.
        arn: The state machine's ARN.
    """

    def __init__(self, client: "SFNClient", arn: str) -> None:
        self._client = client
        self._arn = arn

    @classmethod
    def from_environment(cls) -> "Finalizer":
        """The state machine that the template's `FINALIZER_ARN` names."""
        return cls(boto3.client("stepfunctions"), required("FINALIZER_ARN"))

    def start(self, request_id: UUID, generation: int) -> None:
        """Start the execution `<request_id>-<generation>`; one that was started before is left alone."""
        try:
            self._client.start_execution(
                stateMachineArn=self._arn,
                name=_execution_name(request_id, generation),
                input=json.dumps({"request_id": str(request_id), "generation": generation}),
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            return

    def start_ready(self, database: "Database", request_ids: Sequence[UUID]) -> None:
        """Start the finalizer of every job among these whose work is done, whoever ended it.

        Called after the commit that may have ended the work. Safe to repeat: the database says what is done.
        """
        for job in database.fetch_all("list_finalizable_among", {"request_ids": request_ids}):
            self.start(job["request_id"], job["generation"])

    def has_stopped(self, request_id: UUID, generation: int) -> bool:
        """Whether the execution ended without success, so that only a new generation can go on."""
        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{_execution_name(request_id, generation)}"
        try:
            return self._client.describe_execution(executionArn=arn)["status"] in STOPPED
        except self._client.exceptions.ExecutionDoesNotExist:
            return False


def _execution_name(request_id: UUID, generation: int) -> str:
    return f"{request_id}-{generation}"

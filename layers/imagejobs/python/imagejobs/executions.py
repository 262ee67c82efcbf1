"""Step Functions: starts the finalizer once a generation, however often it is asked to."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import boto3

from imagejobs.settings import required

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient

    from imagejobs.database import Database

# An execution in one of these will not go on by itself.
STOPPED = frozenset({"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"})


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

    def start(self, job: Mapping[str, Any]) -> None:
        """Start the execution of a job's `request_id`, `generation` and `finalizer_run`, unless it was started."""
        try:
            self._client.start_execution(
                stateMachineArn=self._arn,
                name=_execution_name(job),
                input=json.dumps(_execution_input(job)),
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            return

    def start_ready(self, database: "Database", request_ids: Sequence[UUID]) -> None:
        """Start the finalizer of every job among these whose work is done, whoever ended it.

        Called after the commit that may have ended the work. Safe to repeat: the database says what is done.
        """
        for job in database.fetch_all("list_finalizable_among", {"request_ids": request_ids}):
            self.start(job)

    def has_stopped(self, job: Mapping[str, Any]) -> bool:
        """Whether the execution was started and will not go on, so that only another run can."""
        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{_execution_name(job)}"
        try:
            return self._client.describe_execution(executionArn=arn)["status"] in STOPPED
        except self._client.exceptions.ExecutionDoesNotExist:
            return False


def _execution_input(job: Mapping[str, Any]) -> dict[str, Any]:
    """What an execution is told: which run of which generation of which job it is."""
    return {"request_id": str(job["request_id"]), "generation": job["generation"], "run": job["finalizer_run"]}


def _execution_name(job: Mapping[str, Any]) -> str:
    """`<request_id>-<generation>`, and for a further run of the same generation `-<run>` behind it."""
    run = f"-{job['finalizer_run']}" if job["finalizer_run"] > 1 else ""
    return f"{job['request_id']}-{job['generation']}{run}"

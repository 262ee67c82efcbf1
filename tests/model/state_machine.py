"""What Step Functions makes of statemachine/finalizer.asl.yaml: as much of the language as stands there."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from tests.integration.handlers import PROJECT


@cache
def definition() -> dict[str, Any]:
    """The state machine."""
    loaded: dict[str, Any] = yaml.safe_load((PROJECT / "statemachine/finalizer.asl.yaml").read_text(encoding="utf-8"))
    return loaded


@dataclass
class Execution:
    """One execution, which rests at each task until it is told what came of it.

    Attributes:
        name: Its name.
        data: The state's JSON.
        status: As `DescribeExecution` tells it.
        at: The name of the state.
    """

    name: str
    data: dict[str, Any]
    status: str = "RUNNING"
    at: str = field(default_factory=lambda: definition()["StartAt"])

    @property
    def is_running(self) -> bool:
        return self.status == "RUNNING"

    @property
    def resource(self) -> str:
        """The function of the task."""
        return str(self._state["Resource"])

    @property
    def waits(self) -> bool:
        """Whether it rests for a while, not at a task."""
        return bool(self._state["Type"] == "Wait")

    def input(self) -> Any:
        """What the task's function is called with."""
        if "InputPath" in self._state:
            return self._get(self._state["InputPath"])
        return {
            name.removesuffix(".$"): self._get(value) if name.endswith(".$") else value
            for name, value in self._state["Parameters"].items()
        }

    def succeed(self, result: Any) -> None:
        """Go on to the next task, or the next wait, with what this one's function returned."""
        self._put(result)
        self._enter(self._state["Next"])

    def fail(self) -> None:
        """Go where the task's error leads, its retries used up."""
        if "Catch" not in self._state:
            self.status = "FAILED"
            return
        (caught,) = self._state["Catch"]
        self._enter(caught["Next"])

    def wake(self) -> None:
        """End a wait."""
        self._enter(self._state["Next"])

    @property
    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = definition()["States"][self.at]
        return state

    def _enter(self, name: str) -> None:
        self.at = name
        match self._state["Type"]:
            case "Pass":
                self.succeed(self._state["Result"])
            case "Choice":
                self._enter(next((c["Next"] for c in self._state["Choices"] if self._holds(c)), self._state["Default"]))
            case "Succeed":
                self.status = "SUCCEEDED"

    def _holds(self, choice: dict[str, Any]) -> bool:
        value = self._get(choice["Variable"])
        return value is None if "IsNull" in choice else bool(value == choice["StringEquals"])

    def _get(self, path: str) -> Any:
        value: Any = self.data
        for name in path.split(".")[1:]:
            value = value[name]
        return value

    def _put(self, result: Any) -> None:
        path = self._state["ResultPath"]
        if path is not None:
            self.data = {**self.data, path.removeprefix("$."): result}

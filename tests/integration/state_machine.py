"""Step Functions in this process: the finalizer's own definition, one state at a time.

Of the Amazon States Language (https://states-language.net/spec.html), what the definition uses.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from tests.integration.handlers import PROJECT

FUNCTIONS = {"${FinalizeFunctionArn}": "finalize", "${SendWebhookFunctionArn}": "send_webhook"}
Invoke = Callable[[str, Any], Any]
State = dict[str, Any]


@cache
def definition() -> dict[str, Any]:
    """The finalizer's definition, placeholders and all."""
    loaded: dict[str, Any] = yaml.safe_load((PROJECT / "statemachine/finalizer.asl.yaml").read_text(encoding="utf-8"))
    return loaded


def tasks() -> list[str]:
    """The steps of finalize, in the definition's order."""
    parameters = [state.get("Parameters", {}) for state in definition()["States"].values() if state["Type"] == "Task"]
    return list(dict.fromkeys(given["step"] for given in parameters if "step" in given))


@dataclass
class Execution:
    """One execution on its way.

    Attributes:
        name: As it was started.
        data: Its JSON.
        record: Where its status is kept.
        state: The state that comes next; None once it has ended.
        failures: Of the present task, in a row.
    """

    name: str
    data: Any
    record: Any
    state: str | None = field(default_factory=lambda: str(definition()["StartAt"]))
    failures: int = 0

    def step(self, invoke: Invoke) -> bool:
        """Run one state, a task by `invoke`; whether time has to pass before the next."""
        state = definition()["States"][self.state]
        kind = state["Type"]
        if kind == "Task":
            return self._task(state, invoke)
        if kind == "Choice":
            self.state = next((c["Next"] for c in state["Choices"] if self._holds(c)), state.get("Default"))
            assert self.state, f"No choice fits {self.data}."
            return False
        if kind == "Pass":
            self._put(state, deepcopy(state["Result"]) if "Result" in state else self._input(state))
        self.state = state["Next"] if kind in ("Pass", "Wait") else None
        return kind == "Wait"

    def _task(self, state: State, invoke: Invoke) -> bool:
        try:
            result = invoke(FUNCTIONS[state["Resource"]], self._input(state))
        except Exception as error:  # noqa: BLE001 - whatever a function raises, the definition has an answer to
            return self._after_failure(state, error)
        self._put(state, result)
        self.state, self.failures = state["Next"], 0
        return False

    def _after_failure(self, state: State, error: Exception) -> bool:
        """The task again, what catches it, or the end; what a handler raises, only States.ALL matches."""
        self.failures += 1
        retrier = next((r for r in state.get("Retry", []) if "States.ALL" in r["ErrorEquals"]), None)
        if retrier and self.failures <= retrier["MaxAttempts"]:
            return True
        catcher = next((c for c in state.get("Catch", []) if "States.ALL" in c["ErrorEquals"]), None)
        self.state, self.failures = None, 0
        if catcher:
            self._put(catcher, {"Error": type(error).__name__, "Cause": str(error)})
            self.state = catcher["Next"]
        return False

    def _input(self, state: State) -> Any:
        """What InputPath and Parameters make of the data."""
        data = _at(self.data, state.get("InputPath", "$"))
        return _filled_in(state["Parameters"], data) if "Parameters" in state else deepcopy(data)

    def _put(self, state: State, result: Any) -> None:
        """The result where ResultPath says."""
        path = state.get("ResultPath", "$")
        if path == "$":
            self.data = result
        elif path is not None:
            *parents, name = path.removeprefix("$.").split(".")
            _at(self.data, ".".join(["$", *parents]))[name] = result

    def _holds(self, choice: State) -> bool:
        """One rule of a Choice state."""
        value = _at(self.data, choice["Variable"])
        ((operator, wanted),) = [(name, choice[name]) for name in choice if name not in ("Variable", "Next")]
        if operator == "IsNull":
            return (value is None) is wanted
        assert operator in ("StringEquals", "NumericEquals", "BooleanEquals"), f"{operator} is not known here."
        return bool(value == wanted)


def _at(data: Any, path: str) -> Any:
    for name in path.split(".")[1:]:
        data = data[name]
    return data


def _filled_in(template: Any, data: Any) -> Any:
    if not isinstance(template, dict):
        return template
    return {
        name.removesuffix(".$"): deepcopy(_at(data, value)) if name.endswith(".$") else _filled_in(value, data)
        for name, value in template.items()
    }

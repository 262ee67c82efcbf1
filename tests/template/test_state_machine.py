"""The finalizer's definition is what Step Functions takes; the local engine runs a broken one until it gets there."""

import ast
import copy
import functools
import json
import operator
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cfnlint.api import ManualArgs, lint

from tests.template.expansion import ROOT
from tests.template.python_code import LAYER, parse

TEXT = (ROOT / "statemachine" / "finalizer.asl.yaml").read_text(encoding="utf-8")
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:"

State = dict[str, Any]

# https://states-language.net/spec.html, sections "Retrying after error", "Fallback states" and "Wait State".
RETRIER_FIELDS = {
    "ErrorEquals",
    "IntervalSeconds",
    "BackoffRate",
    "MaxAttempts",
    "MaxDelaySeconds",
    "JitterStrategy",
}
CATCHER_FIELDS = {"ErrorEquals", "ResultPath", "Next"}
WAIT_FIELDS = {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"}
# The operators that are used; a new one is looked up in the specification's table before it is added.
CHOICE_FIELDS = {"Variable", "Next", "IsNull", "StringEquals"}


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    """The definition with an ARN in each placeholder's place, as the deployment fills it in."""
    loaded: dict[str, Any] = yaml.safe_load(filled_in(TEXT))
    return loaded


@pytest.fixture(scope="module")
def states(definition) -> dict[str, State]:
    found: dict[str, State] = definition["States"]
    return found


def filled_in(text: str) -> str:
    return PLACEHOLDER.sub(lambda match: ARN + match[1], text)


def of_type(states: dict[str, State], *types: str) -> dict[str, State]:
    return {name: state for name, state in states.items() if state["Type"] in types}


def targets(state: State) -> list[str]:
    choices = [choice["Next"] for choice in state.get("Choices", [])]
    caught = [catcher["Next"] for catcher in state.get("Catch", []) if "Next" in catcher]
    return [*(state[field] for field in ("Next", "Default") if field in state), *choices, *caught]


def reached_from(states: dict[str, State], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += targets(states[name])
    return reached


def retriers(states: dict[str, State]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from ((name, retrier) for name, state in states.items() for retrier in state.get("Retry", []))


def handlers_of_errors(state: State) -> list[list[dict[str, Any]]]:
    return [state[field] for field in ("Retry", "Catch") if field in state]


def test_definition_is_plain_yaml():
    """Step Functions' own reader meets the file as it is: no anchors, no aliases, no tags."""
    exotic = (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)

    assert [str(token) for token in yaml.scan(TEXT) if isinstance(token, exotic)] == []


def test_no_key_stands_twice():
    assert list(repeated_keys(yaml.compose(TEXT, Loader=yaml.SafeLoader))) == []


def repeated_keys(node: yaml.Node | None) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        yield from (key for key in set(keys) if keys.count(key) > 1)
    for child in node.value if isinstance(node, yaml.CollectionNode) else []:
        for part in child if isinstance(child, tuple) else (child,):
            yield from repeated_keys(part)


def test_placeholders_are_those_that_the_template_fills_in(expanded):
    filled = expanded.the("AWS::StepFunctions::StateMachine")["DefinitionSubstitutions"]

    assert set(PLACEHOLDER.findall(TEXT)) == set(filled)


def test_placeholders_stand_inside_strings_only():
    def fill_in(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: fill_in(value) for key, value in node.items()}
        if isinstance(node, list):
            return [fill_in(item) for item in node]
        return filled_in(node) if isinstance(node, str) else node

    assert fill_in(yaml.safe_load(TEXT)) == yaml.safe_load(filled_in(TEXT))


def test_placeholders_are_the_arns_of_the_functions_they_name(expanded):
    filled = expanded.the("AWS::StepFunctions::StateMachine")["DefinitionSubstitutions"]

    assert {name: expanded.step(value) for name, value in filled.items()} == {
        "FinalizeFunctionArn": "finalize",
        "SendWebhookFunctionArn": "send_webhook",
    }


def test_type_is_standard(expanded):
    """An express workflow ends after five minutes and may run twice."""
    machine = expanded.the("AWS::StepFunctions::StateMachine")

    assert machine["StateMachineType"] == "STANDARD"
    assert machine["DefinitionS3Location"]["Key"] == "statemachine/finalizer.asl.yaml"


def test_definition_is_one_that_step_functions_takes(definition):
    assert faults(definition) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["StartAt"], "Nowhere"),
        (["StartAt"], None),
        (["States", "WriteResult", "Next"], "Nowhere"),
        (["States", "WriteResult", "Next"], None),
        (["States", "WriteResult", "End"], True),
        (["States", "WriteResult", "Catch", 0, "Next"], "Nowhere"),
        (["States", "WriteResult", "Catch", 0, "Next"], None),
        (["States", "HasWebhook", "Default"], "Nowhere"),
        (["States", "HasWebhook", "Choices", 0, "Next"], "Nowhere"),
        (["States", "WriteResult", "Resource"], None),
        (["States", "WriteResult", "Retries"], []),
        (["States", "WriteResult", "TimeoutSeconds"], "ten"),
        (["States", "WriteResult", "Type"], "Step"),
    ],
)
def test_a_definition_that_is_broken_is_found(definition, path, value):
    broken = copy.deepcopy(definition)
    *parents, field = path
    node = functools.reduce(operator.getitem, parents, broken)
    if value is None:
        del node[field]
    else:
        node[field] = value

    assert faults(broken)


def faults(definition: dict[str, Any]) -> list[str]:
    """What cfn-lint has against the definition, and targets that are no states, of which it knows `StartAt` only."""
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"RoleArn": "arn:aws:iam::123456789012:role/finalizer", "Definition": definition},
    }
    template = json.dumps({"Resources": {"Finalizer": machine}})
    states = definition["States"]
    lost = [f"{name}: {target}" for name, state in states.items() for target in targets(state) if target not in states]
    return [*(str(found) for found in lint(template, config=ManualArgs(regions=["eu-west-1"]))), *lost]


def test_every_state_is_reached(definition, states):
    assert reached_from(states, definition["StartAt"]) == states.keys()


def test_the_end_is_reached_from_every_state(states):
    ends = set(of_type(states, "Succeed", "Fail"))

    assert [name for name in states if not reached_from(states, name) & ends] == []


def test_state_names_fit_the_limit(states):
    assert [name for name in states if len(name) > 80] == []


def test_every_choice_has_a_default_and_rules_that_exist(states):
    for name, state in of_type(states, "Choice").items():
        assert "Default" in state, name
        for choice in state["Choices"]:
            assert choice.keys() <= CHOICE_FIELDS, name
            assert choice["Variable"].startswith("$."), name
            assert len(choice) == 3, f"{name}: a rule is a variable, one comparison and where to go next"


def test_every_wait_says_how_long(states):
    for name, state in of_type(states, "Wait").items():
        assert len(WAIT_FIELDS & state.keys()) == 1, name


def test_every_task_is_retried(states):
    assert [name for name, state in of_type(states, "Task").items() if not state.get("Retry")] == []


def test_fields_of_retriers_and_catchers_exist(states):
    for state in states.values():
        assert all(retrier.keys() <= RETRIER_FIELDS for retrier in state.get("Retry", []))
        assert all(catcher.keys() <= CATCHER_FIELDS for catcher in state.get("Catch", []))


def test_retries_back_off_to_a_limit_with_full_jitter(states):
    for name, retrier in retriers(states):
        assert retrier["JitterStrategy"] == "FULL", name
        assert 1 <= retrier["IntervalSeconds"] < retrier["MaxDelaySeconds"] <= 31_622_400, name
        assert retrier["BackoffRate"] > 1, name
        assert 1 <= retrier["MaxAttempts"] <= 99, name


def test_states_all_stands_alone_and_last(states):
    for name, state in states.items():
        for handlers in handlers_of_errors(state):
            caught = [handler["ErrorEquals"] for handler in handlers]
            assert all("States.ALL" not in errors for errors in caught[:-1]), name
            assert "States.ALL" not in caught[-1] or caught[-1] == ["States.ALL"], name


def test_what_lambda_throttles_or_breaks_is_retried_at_every_task(states):
    """Errors of the Lambda service itself; an unnamed one would end the execution."""
    transient = {
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
    }
    for name, state in of_type(states, "Task").items():
        errors = {error for retrier in state["Retry"] for error in retrier["ErrorEquals"]}
        assert "States.ALL" in errors or transient <= errors, name


def test_a_webhook_that_cannot_be_sent_does_not_fail_the_execution(states):
    for name, state in of_type(states, "Task").items():
        if state["Resource"].endswith("SendWebhookFunctionArn"):
            assert [catcher["ErrorEquals"] for catcher in state["Catch"]] == [["States.ALL"]], name


def test_a_result_that_cannot_be_written_ends_the_job_with_the_reason(states):
    """The caught error takes the way that the result would have taken, with the result's own fields."""
    task = states["WriteResult"]
    (catcher,) = task["Catch"]
    assert catcher["ErrorEquals"] == ["States.ALL"]

    instead = states[catcher["Next"]]

    assert (instead["Type"], instead["ResultPath"], instead["Next"]) == ("Pass", task["ResultPath"], task["Next"])
    assert instead["Result"].keys() == {"result_key", "result_version", "error_message"}
    assert (instead["Result"]["result_key"], instead["Result"]["result_version"]) == (None, None)
    assert instead["Result"]["error_message"].startswith("The finished CSV could not be written; ")


def test_a_caught_error_leaves_the_state_beside_it(states):
    """Without a path of its own it would take the whole state's place."""
    catchers = {name: catcher for name, state in states.items() for catcher in state.get("Catch", [])}

    assert {name: catcher["ResultPath"] for name, catcher in catchers.items()} == dict.fromkeys(catchers, "$.failure")


def test_every_attempt_at_the_webhook_is_the_one_that_the_database_says_is_next(states):
    """After a wait it asks again: the job may have been retried, or its webhook asked for once more."""
    asks, sends, waits = states["CloseJob"], states["SendWebhook"], states["WaitForRetry"]

    assert asks["ResultPath"] == "$.closed"
    assert states[asks["Next"]]["Choices"] == [{"Variable": "$.closed.webhook", "IsNull": True, "Next": "Done"}]
    assert (states[asks["Next"]]["Default"], sends["InputPath"]) == ("SendWebhook", "$.closed.webhook")
    assert (waits["SecondsPath"], waits["Next"]) == ("$.next.delay_seconds", "CloseJob")
    assert [name for name, state in states.items() if "SendWebhook" in targets(state)] == [asks["Next"]]


def test_every_step_of_ours_is_given_the_whole_state_and_takes_nothing_from_it(states):
    """What an execution was started with (job, generation, run) must be there at every later step."""
    ours = {n: s for n, s in of_type(states, "Task").items() if s["Resource"].endswith("FinalizeFunctionArn")}

    assert {name: state["Parameters"]["state.$"] for name, state in ours.items()} == dict.fromkeys(ours, "$")
    results = [state["ResultPath"] for state in states.values() if state["Type"] in {"Task", "Pass"}]
    assert set(results) == {"$.result", None, "$.closed", "$.answer", "$.next"}


def test_strays_that_cannot_be_removed_keep_no_job_open(states):
    task = states["RemoveStrays"]
    (catcher,) = task["Catch"]

    assert (catcher["ErrorEquals"], catcher["Next"], task["Next"]) == (["States.ALL"], "CloseJob", "CloseJob")


def test_paths_stand_under_keys_that_say_so(states):
    """`state: $` would pass the text "$" on; `state.$: $` passes the state."""
    for name, state in states.items():
        for key, value in parameters(state.get("Parameters", {})):
            is_path = isinstance(value, str) and value.startswith("$")
            assert key.endswith(".$") == is_path, f"{name}: {key}"


def parameters(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from parameters(value)
        else:
            yield key, value


def test_steps_are_those_that_finalize_knows(states):
    tasks = of_type(states, "Task").values()
    named = [t["Parameters"]["step"] for t in tasks if t["Resource"].endswith("FinalizeFunctionArn")]

    assert sorted(named) == sorted(steps_of_finalize())


def steps_of_finalize() -> list[str]:
    """Keys of the table in `Closer.run`."""
    tree = parse(LAYER / "imagejobs" / "steps" / "finalize.py")
    (run,) = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "run"]
    (table,) = [node for node in ast.walk(run) if isinstance(node, ast.Dict)]
    return [key.value for key in table.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]

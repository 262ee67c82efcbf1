"""Every function runs the code, runtime and layers that it was built for, where it can reach what it needs."""

import ast
from collections import Counter
from graphlib import TopologicalSorter

import pytest

from imagejobs.codec import MAX_MEMORY_BYTES
from imagejobs.limits import MAX_IMAGE_BYTES, MEGABYTES_PER_VCPU
from imagejobs.steps.compress import TRANSFERS
from tests.template.conftest import EXTRAS, OPTIONAL
from tests.template.expansion import (
    Properties,
    Stack,
    expand,
    logical_id,
    referenced,
    references,
    step_of,
    translated,
)
from tests.template.python_code import FUNCTIONS, handler_path, parse
from tests.template.resource_types import parameters

STEPS = sorted(path.name for path in FUNCTIONS.iterdir() if (path / "app.py").exists())
WITHOUT_DATABASE = {"authorize", "send_webhook"}
MAX_TIMEOUT_SECONDS = 900
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
MAX_ALARM_METRICS = 10
PARAMETERS = parameters()
OF_POSTGRES = 3  # superuser_reserved_connections
OF_PEOPLE = 3


def test_every_folder_is_a_function_and_every_function_a_folder(expanded):
    assert sorted(expanded.functions()) == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_handler_is_there(expanded, step):
    names = [node.name for node in parse(handler_path(step)).body if isinstance(node, ast.FunctionDef)]

    assert expanded.functions()[step]["Handler"] == "app.handler"
    assert names.count("handler") == 1


@pytest.mark.parametrize("step", STEPS)
def test_runtime_and_package(expanded, step):
    function = expanded.functions()[step]

    assert function["Runtime"] == "python3.13"
    assert function.get("PackageType", "Zip") == "Zip"


@pytest.mark.parametrize("step", STEPS)
def test_processor_is_arm64_unless_another_is_asked_for(expanded_with_defaults, expanded_with_options, step):
    assert expanded_with_defaults.functions()[step]["Architectures"] == ["arm64"]
    assert expanded_with_options.functions()[step]["Architectures"] == ["x86_64"]


def layers_of(stack: Stack, step: str) -> list[Properties]:
    layers = [stack.resources[logical_id(layer)] for layer in stack.functions()[step]["Layers"]]
    return [layer["Properties"] for layer in layers]


@pytest.mark.parametrize("step", STEPS)
def test_layers_are_the_shared_package_and_its_dependencies_and_the_codecs_where_they_are_used(expanded, step):
    codecs = ["layers/codecs"] if step in {"compress", "report"} else []

    assert [layer["Content"]["S3Key"] for layer in layers_of(expanded, step)] == [
        "layers/imagejobs/python",
        "layers/dependencies",
        *codecs,
    ]


@pytest.mark.parametrize("step", STEPS)
def test_layers_are_for_the_function_s_runtime_and_processor(expanded, step):
    """What they hold is looked at in tests/build."""
    function = expanded.functions()[step]
    shared, *packages = layers_of(expanded, step)

    assert "CompatibleArchitectures" not in shared
    assert {tuple(layer["CompatibleRuntimes"]) for layer in (shared, *packages)} == {(function["Runtime"],)}
    assert all(layer["CompatibleArchitectures"] == function["Architectures"] for layer in packages)


def test_only_the_layers_of_the_one_processor_are_made(expanded):
    made = expanded.of_type("AWS::Lambda::LayerVersion").values()

    assert sorted(layer["Content"]["S3Key"] for layer in made) == [
        "layers/codecs",
        "layers/dependencies",
        "layers/imagejobs/python",
    ]


@pytest.mark.parametrize("step", STEPS)
def test_timeout_and_memory_are_within_lambda_s_limits(expanded, step):
    function = expanded.functions()[step]

    assert 1 <= function["Timeout"] <= MAX_TIMEOUT_SECONDS
    assert 128 <= function["MemorySize"] <= 10_240


def test_a_worker_has_a_whole_vcpu_and_memory_for_its_codec_and_all_its_transfers(expanded):
    memory_bytes = expanded.functions()["compress"]["MemorySize"] * 2**20

    assert memory_bytes >= MEGABYTES_PER_VCPU * 2**20
    assert memory_bytes > MAX_MEMORY_BYTES + TRANSFERS * MAX_IMAGE_BYTES + 128_000_000


def test_a_sweep_ends_before_the_next_begins(expanded):
    (rule,) = expanded.of_type("AWS::Events::Rule").values()

    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert [expanded.step(target["Arn"]) for target in rule["Targets"]] == ["sweep"]
    assert expanded.functions()["sweep"]["Timeout"] < 60


def test_each_function_has_a_log_of_its_own_that_is_not_kept_for_ever(expanded):
    groups = expanded.of_type("AWS::Logs::LogGroup")
    logs = {step: groups[logical_id(f["LoggingConfig"]["LogGroup"])] for step, f in expanded.functions().items()}

    assert {step: log["LogGroupName"] for step, log in logs.items()} == {
        step: f"/imagejobs/imagejobs-test/{step}" for step in STEPS
    }
    assert {group["RetentionInDays"] for group in groups.values()} == {30}


def test_what_nobody_waits_for_keeps_what_failed(expanded):
    """EventBridge invokes sweep, and CloudFormation migrate: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html"""
    letters = {step: f.get("DeadLetterConfig", {}).get("TargetArn") for step, f in expanded.functions().items()}

    assert {step: target for step, target in letters.items() if target} == dict.fromkeys(
        ("sweep", "migrate"), "${AsyncDeadLetterQueue.Arn}"
    )


def test_every_function_is_traced(expanded):
    assert {function["TracingConfig"]["Mode"] for function in expanded.functions().values()} == {"Active"}
    assert expanded.the("AWS::ApiGateway::Stage")["TracingEnabled"] is True
    assert expanded.the("AWS::StepFunctions::StateMachine")["TracingConfiguration"] == {"Enabled": True}


# ── Deployments ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_function_with_the_database_gets_its_code_before_the_schema(expanded):
    waiting = {step for step, function in expanded.functions().items() if "Migration" in references(function)}

    assert waiting == set(STEPS) - {"migrate"}


def test_each_new_code_and_each_other_database_is_migrated(expanded):
    migration = expanded.the("Custom::Migration")
    migrate = expanded.functions()["migrate"]

    assert expanded.step(migration["ServiceToken"]) == "migrate"
    assert migration["Layers"] == expanded.functions()["compress"]["Layers"]  # all; each build has an ARN of its own
    assert migration["Database"] == migrate["Environment"]["Variables"]["DATABASE_DSN"]
    assert migration["ServiceTimeout"] > migrate["Timeout"]


def test_every_function_but_migrate_has_a_version_that_can_be_gone_back_to(expanded):
    aliases = expanded.of_type("AWS::Lambda::Alias")

    assert {expanded.step(alias["FunctionName"]) for alias in aliases.values()} == set(STEPS) - {"migrate"}
    assert {alias["Name"] for alias in aliases.values()} == {"live"}


def test_each_migration_makes_a_version_of_each_function(expanded):
    """Lambda publishes what differs from the last version only, so the function itself must be another, too."""
    functions = expanded.functions()
    versions = {expanded.step(v["FunctionName"]): v for v in expanded.of_type("AWS::Lambda::Version").values()}
    described = {step: (functions[step]["Description"], version["Description"]) for step, version in versions.items()}

    assert described == dict.fromkeys(set(STEPS) - {"migrate"}, ("${Migration.RequestId}", "${Migration.RequestId}"))


def test_each_parameter_that_a_function_depends_on_makes_versions():
    """SAM's hash sees the template, not the parameters' values; what only a new version would bring must be here."""
    template = translated({})
    functions = [r for r in template["Resources"].values() if r["Type"] == "AWS::Lambda::Function"]
    versioned = [f["Properties"] for f in functions if step_of(f["Properties"]) != "migrate"]
    named = parameters_of(template, template["Resources"]["Migration"]["Properties"])

    assert parameters_of(template, versioned) - named == set()


def parameters_of(template: Properties, node: object) -> set[str]:
    """Parameters that a value depends on, by its conditions, too."""
    found = set(referenced(node))
    for condition in found & template["Conditions"].keys():
        found |= parameters_of(template, template["Conditions"][condition])
    return found & template["Parameters"].keys()


@pytest.mark.parametrize("given", [{}, OPTIONAL, EXTRAS], ids=["defaults", "options", "extras"])
def test_no_resource_waits_for_itself(given):
    """An alias waits for its deployment group by its update policy; both branches of an If count."""
    resources = translated(given)["Resources"]

    TopologicalSorter({name: set(referenced(r)) & resources.keys() for name, r in resources.items()}).prepare()


def test_gradual_deployments_are_taken_back_by_an_alarm_over_all_they_change(expanded_with_extras):
    stack = expanded_with_extras
    groups = stack.of_type("AWS::CodeDeploy::DeploymentGroup").values()
    alarm = stack.resources["NewVersionAlarm"]["Properties"]
    metrics = [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]
    values = [{d["Name"]: d["Value"] for d in metric["Dimensions"]} for metric in metrics]
    errors = {v["FunctionName"]: v["Resource"] for v in values if "FunctionName" in v}
    names = {stack.functions()[step]["FunctionName"] for step in set(STEPS) - {"migrate", "authorize"}}

    assert len(groups) == len(stack.of_type("AWS::Lambda::Alias"))
    assert all(g["AlarmConfiguration"]["Alarms"] == [{"Name": "${NewVersionAlarm}"}] for g in groups)
    assert errors == {name: f"{name}:live" for name in names}
    assert [v for v in values if "ApiName" in v] == [
        {"ApiName": stack.the("AWS::ApiGateway::RestApi")["Name"], "Stage": "dev"}
    ]
    assert len(metrics) + 1 <= MAX_ALARM_METRICS


def test_other_deployments_have_no_code_deploy(expanded_with_defaults):
    assert "AWS::CodeDeploy::DeploymentGroup" not in {r["Type"] for r in expanded_with_defaults.resources.values()}


# ── The database's connections ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("connections", PARAMETERS["DatabaseConnections"]["AllowedValues"])
def test_functions_and_their_keepers_never_need_more_connections_than_there_are(connections):
    """Each invocation at a time has one."""
    stack = expand({"DatabaseConnections": connections})
    most = Counter({"sweep": 1, "migrate": 1})
    for mapping in stack.of_type("AWS::Lambda::EventSourceMapping").values():
        most[stack.step(mapping["FunctionName"])] += int(mapping["ScalingConfig"]["MaximumConcurrency"])
    reserved = {step: f.get("ReservedConcurrentExecutions") for step, f in stack.functions().items()}
    most.update({step: number for step, number in reserved.items() if number})

    assert most.keys() == set(STEPS) - WITHOUT_DATABASE
    assert sum(most.values()) + OF_POSTGRES + OF_PEOPLE <= int(connections)
    assert 2 <= most["compress"] <= 1000  # https://docs.aws.amazon.com/lambda/latest/api/API_ScalingConfig.html
    assert stack.nested("Monitoring").of_type("AWS::CloudWatch::Alarm")["DatabaseConnectionsUsed"]["Threshold"] == int(
        connections
    )


def test_the_fan_out_paces_itself_by_the_same_number_of_workers(expanded):
    (mapping,) = [
        m
        for m in expanded.of_type("AWS::Lambda::EventSourceMapping").values()
        if expanded.step(m["FunctionName"]) == "compress"
    ]
    told = {f["Environment"]["Variables"].get("COMPRESS_CONCURRENCY") for f in expanded.functions().values()} - {None}

    assert told == {str(mapping["ScalingConfig"]["MaximumConcurrency"])}


# ── References ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_reference_names_a_resource_that_is_made(expanded):
    """A condition that leaves a resource out must leave out what refers to it; AWS refuses the rest."""
    named = {*references(dict(expanded.resources)), *references(dict(expanded.outputs))}

    assert named
    assert named - expanded.resources.keys() == set()

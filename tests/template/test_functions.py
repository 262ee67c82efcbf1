"""Every function runs the code, runtime and layers that it was built for, where it can reach what it needs."""

import ast

import pytest

from imagejobs.codec import MAX_MEMORY_BYTES
from imagejobs.limits import MAX_IMAGE_BYTES, MEGABYTES_PER_VCPU
from imagejobs.steps.compress import TRANSFERS
from tests.template.expansion import Properties, Stack, logical_id, references
from tests.template.python_code import FUNCTIONS, handler_path, parse

STEPS = sorted(path.name for path in FUNCTIONS.iterdir() if (path / "app.py").exists())
WITHOUT_DATABASE = {"authorize", "send_webhook"}
MAX_TIMEOUT_SECONDS = 900


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
    codecs = ["layers/codecs"] if step == "compress" else []

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
    assert [expanded.step(logical_id(target["Arn"])) for target in rule["Targets"]] == ["sweep"]
    assert expanded.functions()["sweep"]["Timeout"] < 60


def test_functions_with_the_database_are_in_its_network(expanded_with_options):
    inside = {step for step, f in expanded_with_options.functions().items() if "VpcConfig" in f}
    networks = [f["VpcConfig"] for f in expanded_with_options.functions().values() if "VpcConfig" in f]

    assert inside == set(STEPS) - WITHOUT_DATABASE
    assert all(network == {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]} for network in networks)


def test_without_subnets_no_function_is_in_a_network(expanded_with_defaults):
    assert [step for step, f in expanded_with_defaults.functions().items() if "VpcConfig" in f] == []


def test_every_reference_names_a_resource_that_is_made(expanded):
    """A condition that leaves a resource out must leave out what refers to it; AWS refuses the rest."""
    named = {*references(dict(expanded.resources)), *references(dict(expanded.outputs))}

    assert named
    assert named - expanded.resources.keys() == set()

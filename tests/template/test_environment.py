"""Each function's environment: what its code reads is set, and what is set is read."""

import ast

import pytest

from tests.template.python_code import (
    FUNCTIONS,
    LAYER,
    first_arguments,
    handler_path,
    imports,
    parse,
    reachable_code,
)

STEPS = sorted(path.name for path in FUNCTIONS.iterdir() if (path / "app.py").exists())
# Read by Powertools' Logger, which every handler makes, and by its metrics.
READ_BY_POWERTOOLS = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL", "POWERTOOLS_METRICS_NAMESPACE"}
READ_BY_GLIBC = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
SET_BY_LAMBDA = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE"}
# Functions of ours that take a variable's name.
READERS = ("required", "from_environment")

SOURCES = sorted([*FUNCTIONS.rglob("*.py"), *LAYER.rglob("*.py")])


def variables_read(step: str) -> set[str]:
    arguments = [name for code in reachable_code(step) for name in first_arguments(code, *READERS)]
    return {name.value for name in arguments if isinstance(name, ast.Constant)}


def variables_set(stack, step: str) -> set[str]:
    return set(stack.functions()[step]["Environment"]["Variables"])


@pytest.mark.parametrize("step", STEPS)
def test_every_variable_that_is_read_is_set(expanded, step):
    assert variables_read(step) - variables_set(expanded, step) - SET_BY_LAMBDA == set()


@pytest.mark.parametrize("step", STEPS)
def test_every_variable_that_is_set_is_read(expanded, step):
    assert variables_set(expanded, step) - variables_read(step) - READ_BY_POWERTOOLS - READ_BY_GLIBC == set()


@pytest.mark.parametrize("step", STEPS)
def test_handler_logs_under_the_name_of_its_step(expanded, step):
    variables = expanded.functions()[step]["Environment"]["Variables"]

    assert "aws_lambda_powertools" in imports(handler_path(step))
    assert variables["POWERTOOLS_SERVICE_NAME"] == step
    assert variables["POWERTOOLS_LOG_LEVEL"] == "INFO"
    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == "ImageJobs/imagejobs-test"


def test_environment_is_read_through_settings_only():
    """Otherwise the tests above would not see what is read."""
    readers = [path for path in SOURCES if {"environ", "environb", "getenv"} & names_in(path)]

    assert readers == [LAYER / "imagejobs" / "settings.py"]


def names_in(path):
    nodes = list(ast.walk(parse(path)))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


def test_names_of_variables_are_written_out():
    """Only `from_environment` may pass a name on that it was given."""
    computed = [
        f"{path.name}: {ast.unparse(name)}"
        for path in SOURCES
        for function in ast.walk(parse(path))
        if isinstance(function, ast.FunctionDef) and function.name != "from_environment"
        for name in first_arguments(function, *READERS)
        if not isinstance(name, ast.Constant)
    ]

    assert computed == []


@pytest.mark.parametrize("step", STEPS)
def test_no_value_is_a_secret_or_a_list(expanded, step):
    """Lambda shows variables to whoever may read its configuration, and takes text and numbers only."""
    variables = expanded.functions()[step]["Environment"]["Variables"]

    assert all(isinstance(value, str | int | float) for value in variables.values())
    assert not [name for name in variables if "PASSWORD" in name or "TOKEN" in name]
    assert all(name.endswith("_ARN") for name in variables if "SECRET" in name)


@pytest.mark.parametrize(
    ("variable", "step", "default", "given"),
    [
        ("IMAGE_BASE_URL", "compress", "https://${Distribution.DomainName}", "https://images.example.com"),
        (
            "API_BASE_URL",
            "finalize",
            "https://${Api}.execute-api.eu-west-1.amazonaws.com/dev",
            "https://api.example.com",
        ),
        ("API_BASE_URL", "api", "", "https://api.example.com"),
        ("DEFAULT_WEBHOOK_URL", "fan_out", "", "https://example.com/hook"),
        ("PRIVATE_ORIGINS", "compress", "", "images.internal:8080"),
        ("PRIVATE_ORIGINS", "send_webhook", "", "images.internal:8080"),
        ("PRIVATE_ORIGINS", "report", "", "images.internal:8080"),
        ("ALLOWED_HOSTS", "api", "", "*.example.com,203.0.113.0/24"),
        ("ALLOWED_HOSTS", "compress", "", "*.example.com,203.0.113.0/24"),
        ("DENIED_HOSTS", "fan_out", "", "old.example.com"),
        ("DENIED_HOSTS", "send_webhook", "", "old.example.com"),
    ],
)
def test_settings_follow_their_parameters(
    expanded_with_defaults, expanded_with_options, variable, step, default, given
):
    def value(stack):
        return stack.functions()[step]["Environment"]["Variables"][variable]

    assert value(expanded_with_defaults) == default
    assert value(expanded_with_options) == given

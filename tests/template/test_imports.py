"""Imports point one way, pure modules stay pure, each function loads only what it uses, none knows the local stack."""

import json
import os
import subprocess
import sys
from collections.abc import Set
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.template.expansion import ROOT
from tests.template.python_code import FUNCTIONS, LAYER, handler_path, imports, package_modules

STEPS = sorted(path.name for path in FUNCTIONS.iterdir() if (path / "app.py").exists())
MODULES = package_modules()
PRODUCTION_FOLDERS = ("functions", "layers", "statemachine")
TOOLS = {"local", "tests", "benchmarks", "operations", "reliability", "security", "openapi"}
LOCAL_WORDS = {"ministack", "localhost", "127.0.0.1", "provided.al2023"}
ADDRESS_RULES = LAYER / "imagejobs" / "addresses.py"  # names loopback in order to refuse it

PURE_MODULES = sorted(
    {
        *(name for name in MODULES if name.startswith("imagejobs.image")),
        "imagejobs.corrections",
        "imagejobs.estimate",
        "imagejobs.form_fields",
        "imagejobs.gzip_stream",
        "imagejobs.sheet",
        "imagejobs.sheet_layout",
        "imagejobs.staged_images",
        "imagejobs.url_cell",
        "imagejobs.result_sheet",
        "imagejobs.report_page",
        "imagejobs.report_style",
        "imagejobs.near_duplicates",
        "imagejobs.preflight",
        "imagejobs.preflight_sheet",
        "imagejobs.reuse",
        "imagejobs.addresses",
        "imagejobs.destinations",
        "imagejobs.hosts",
        "imagejobs.webhook",
        "imagejobs.options",
        "imagejobs.upload_form",
        "imagejobs.errors",
        "imagejobs.fields",
        "imagejobs.answers",
        "imagejobs.limits",
    }
)
USE_CASES = sorted(name for name in MODULES if name.startswith("imagejobs.steps."))
# Use cases beside the one that a handler is named after.
FURTHER_USE_CASES = {"api": {"imagejobs.steps.control", "imagejobs.steps.correct", "imagejobs.steps.look"}}
BENEATH = sorted(MODULES.keys() - USE_CASES - {"imagejobs", "imagejobs.steps"})
# What does work outside the process, keeps state, or writes logs.
IMPURE = {"aws_lambda_powertools", "boto3", "botocore", "logging", "psycopg2", "requests", "urllib3"}

# A distribution of a layer's requirements.in, and the package that it is imported as.
PACKAGES = {
    "aws-lambda-powertools": "aws_lambda_powertools",
    "mozjpeg-lossless-optimization": "mozjpeg_lossless_optimization",
    "multipart": "multipart",
    "numpy": "numpy",
    "pillow": "PIL",
    "psycopg2-binary": "psycopg2",
    "pyjpegli": "pyjpegli",
    "requests": "requests",
    "standardwebhooks": "standardwebhooks",
    "urllib3": "urllib3",
}
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
IN_THE_RUNTIME = {"boto3", "botocore"}
# Beside Powertools, and urllib3, which boto3 brings everywhere.
LOADED = {
    "authorize": set(),
    "api": {"multipart", "psycopg2"},
    "fan_out": {"psycopg2"},
    "compress": {"psycopg2"},
    "bury": {"psycopg2"},
    "finalize": {"psycopg2", "standardwebhooks"},
    "report": {"psycopg2"},
    "send_webhook": {"standardwebhooks"},
    "sweep": {"psycopg2"},
    "migrate": {"psycopg2"},
}
# Of the shared package, beside `limits`, `settings` and the packages themselves. What a step does not use it would pay
# for at each of its cold starts.
LOADED_OF_OURS = {
    "authorize": "callers",
    "api": "addresses answers bucket corrections database destination_settings destinations errors executions fields"
    " form_fields generations gzip_stream hosts http jobs metrics options queries queues result_sheet sheet"
    " sheet_layout staged_images steps.api steps.control steps.correct steps.look stored_corrections upload_form"
    " url_cell usage web_page",
    "fan_out": "addresses bucket database destination_settings destinations errors executions fields form_fields"
    " gzip_stream hosts jobs metrics options queries queues sheet sheet_layout staged_images steps.fan_out url_cell"
    " usage",
    "compress": "addresses bucket codec database destination_settings destinations errors executions fetch fields"
    " form_fields hosts image_header image_result jobs metrics options queries queues reuse steps.compress",
    "bury": "bucket database errors executions jobs metrics queries queues steps.bury",
    "finalize": "bucket corrections database errors estimate fields form_fields gzip_stream jobs metrics options"
    " preflight preflight_sheet queries queues result_sheet sheet sheet_layout steps.finalize stored_corrections"
    " url_cell webhook",
    "report": "addresses bucket codec database destination_settings destinations errors fetch fields form_fields hosts"
    " image_header image_result jobs metrics near_duplicates options queries queues report_page report_style"
    " steps.report",
    "send_webhook": "addresses bucket callers destination_settings destinations errors fetch hosts steps.send_webhook"
    " webhook",
    "sweep": "bucket database errors executions jobs metrics queries queues steps.sweep",
    "migrate": "custom_resource database migrations queries",
}

LOAD = "import app, json, sys; print(json.dumps(sorted(sys.modules)))"


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Modules that each handler's module loads, in an interpreter of its own with a bare environment."""
    processes = {step: start_interpreter(step) for step in STEPS}
    answers = {step: process.communicate(timeout=60) for step, process in processes.items()}
    broken = {step: answers[step][1] for step, process in processes.items() if process.returncode}
    assert not broken, "\n".join(f"{step}: {text}" for step, text in broken.items())
    return {step: set(json.loads(output)) for step, (output, _) in answers.items()}


def start_interpreter(step: str) -> subprocess.Popen[str]:
    """Nothing is set but where the layer lies: clients and settings must not be made at import."""
    return subprocess.Popen(
        [sys.executable, "-c", LOAD],
        cwd=FUNCTIONS / step,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(LAYER), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def production_files() -> list[Path]:
    walked = [path for folder in PRODUCTION_FOLDERS for path in (ROOT / folder).rglob("*")]
    files = [path for path in walked if path.is_file() and "__pycache__" not in path.parts]
    return sorted([*files, ROOT / "template.yaml"])


def top_level(names: Set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def ours(names: Set[str]) -> set[str]:
    return set(names & MODULES.keys())


def production_modules() -> list[Path]:
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in TOOLS]
    visible = [folder for folder in folders if not folder.name.startswith(".")]
    return sorted([*ROOT.glob("*.py"), *(path for folder in visible for path in folder.rglob("*.py"))])


def test_the_pure_modules_are_there():
    assert set(PURE_MODULES) <= MODULES.keys()


@pytest.mark.parametrize("module", PURE_MODULES)
def test_pure_module_uses_neither_aws_nor_network_nor_database_nor_log(module):
    assert top_level(imports(MODULES[module])) & IMPURE == set()


@pytest.mark.parametrize("module", PURE_MODULES)
def test_pure_module_imports_pure_modules_only(module):
    assert ours(imports(MODULES[module])) - {*PURE_MODULES, "imagejobs"} == set()


@pytest.mark.parametrize("module", BENEATH)
def test_nothing_beneath_imports_a_use_case(module):
    assert ours(imports(MODULES[module])) & {*USE_CASES, "imagejobs.steps"} == set()


@pytest.mark.parametrize("module", USE_CASES)
def test_use_case_imports_downward_only(module):
    """What two use cases share lies beneath both."""
    assert ours(imports(MODULES[module])) & set(USE_CASES) == set()


def test_no_import_goes_in_a_circle():
    graph = {name: ours(imports(path)) - {"imagejobs", "imagejobs.steps"} for name, path in MODULES.items()}

    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("step", STEPS)
def test_handler_uses_its_own_use_case_only(step):
    use_cases = ours(imports(handler_path(step))) & set(USE_CASES)

    assert use_cases <= {f"imagejobs.steps.{step}"} | FURTHER_USE_CASES.get(step, set())


@pytest.mark.parametrize("step", STEPS)
def test_handler_loads_only_the_packages_that_it_uses(loaded, step):
    elsewhere = set(PACKAGES.values()) - {"aws_lambda_powertools", "urllib3"}

    assert top_level(loaded[step]) & elsewhere == LOADED[step]


@pytest.mark.parametrize("step", STEPS)
def test_handler_loads_only_the_modules_of_ours_that_it_uses(loaded, step):
    everywhere = {"imagejobs", "imagejobs.limits", "imagejobs.settings", "imagejobs.steps"}

    assert ours(loaded[step]) - everywhere == {f"imagejobs.{name}" for name in LOADED_OF_OURS[step].split()}


@pytest.mark.parametrize("step", STEPS)
def test_handler_loads_nothing_of_the_project_s_tools(loaded, step):
    """They are installed here, and missing on Lambda."""
    packages = top_level(loaded[step])
    installed_here = {"pytest", "moto", "yaml"} | {name for name in packages if name.startswith("mypy")}

    assert packages & (TOOLS | installed_here) == set()


def imported_by_production() -> set[str]:
    paths = [*MODULES.values(), *map(handler_path, STEPS)]
    return set().union(*(top_level(imports(path)) for path in paths)) - sys.stdlib_module_names - {"imagejobs"}


def listed_dependencies() -> set[str]:
    files = ROOT.glob("layers/*/requirements.in")
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def test_every_package_that_is_imported_is_in_a_layer_or_the_runtime():
    in_the_layers = {PACKAGES[distribution] for distribution in listed_dependencies()}

    assert imported_by_production() - in_the_layers - IN_THE_RUNTIME == set()


def test_every_package_in_a_layer_is_imported():
    unused = {name for name in listed_dependencies() if PACKAGES[name] not in imported_by_production()}

    assert unused == set()


def test_only_tools_import_the_local_stack():
    knowing = [path for path in production_modules() if top_level(imports(path)) & TOOLS]

    assert knowing == []


def test_production_does_not_name_the_local_stack():
    naming = {str(path.relative_to(ROOT)): words for path in production_files() if (words := local_words(path))}

    assert naming == {}


def local_words(path: Path) -> set[str]:
    words = LOCAL_WORDS - {"127.0.0.1"} if path == ADDRESS_RULES else LOCAL_WORDS
    text = path.read_bytes().decode(errors="replace").lower()
    return {word for word in words if word in text}

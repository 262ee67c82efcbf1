"""The layers that `sam build` makes: machine code for the processor that they are for, and nothing that is not used."""

import hashlib
import re
from pathlib import Path

import pytest

from benchmarks.package_sizes import ARCHITECTURES, MAX_UNZIPPED_BYTES, Build, files, unzipped_bytes
from tests.build.conftest import LAYERS, make_layer
from tests.template.expansion import ROOT
from tests.template.python_code import FUNCTIONS, LAYER

DEPLOYED = {"Arm64": "aarch64", "X86": "x86_64"}
# https://www.sco.com/developers/gabi/latest/ch4.eheader.html, e_machine.
MACHINE = {"aarch64": 183, "x86_64": 62}
MACHINE_OFFSET = 18
NAMES = [f"{layer}{suffix}" for layer in LAYERS for suffix in DEPLOYED]


def machine_of(name: str) -> str:
    return next(machine for suffix, machine in DEPLOYED.items() if name.endswith(suffix))


def machine_code(folder: Path) -> dict[Path, bytes]:
    """The beginnings of all files with machine code."""
    begun = {path: beginning(path) for path in files(folder)}
    return {path: begin for path, begin in begun.items() if begin.startswith(b"\x7fELF")}


def beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(20)


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files(folder)}


def import_names(folder: Path) -> set[str]:
    """What can be imported from a folder."""
    entries = [path for path in folder.iterdir() if path.suffix not in {".libs", ".dist-info"}]
    return {path.name.partition(".")[0] for path in entries}


@pytest.mark.parametrize("name", NAMES)
def test_machine_code_is_for_the_layer_s_processor(build: Build, name: str):
    code = machine_code(build.folder_of(name))

    assert code
    machines = {str(path): int.from_bytes(begin[MACHINE_OFFSET:], "little") for path, begin in code.items()}
    assert set(machines.values()) == {MACHINE[machine_of(name)]}, machines


@pytest.mark.parametrize("name", NAMES)
def test_extension_modules_are_for_the_functions_python(build: Build, name: str):
    """Shared libraries of other languages lie in folders of their own, and have no tag."""
    modules = [path.name for path in machine_code(build.folder_of(name)) if path.parent.suffix != ".libs"]
    tag = re.compile(rf"\.(cpython-313-{machine_of(name)}-linux-gnu|abi3)\.so$")

    assert modules
    assert [module for module in modules if not tag.search(module)] == []


@pytest.mark.parametrize("layer", LAYERS)
def test_both_processors_and_this_interpreter_can_import_the_same(build, layers_for_this_interpreter, layer):
    here = import_names(layers_for_this_interpreter[layer])

    assert here
    assert {suffix: import_names(build.folder_of(layer + suffix) / "python") for suffix in DEPLOYED} == {
        "Arm64": here,
        "X86": here,
    }


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_holds_the_distributions_that_are_pinned_for_it(build, layer):
    lock = (ROOT / "layers" / LAYERS[layer] / "requirements.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))

    for suffix in DEPLOYED:
        folders = (build.folder_of(layer + suffix) / "python").glob("*.dist-info")
        assert {folder.name.partition("-")[0].replace("_", "-") for folder in folders} == pinned


@pytest.mark.parametrize("name", ["DependenciesLayerArm64", "CodecsLayerX86"])
def test_a_second_build_gives_the_same_files(build, tmp_path, name):
    make_layer(LAYERS[name.removesuffix("Arm64").removesuffix("X86")], name, tmp_path)

    assert digests(tmp_path) == digests(build.folder_of(name))


@pytest.mark.parametrize("kind", ["layers", "functions"])
def test_nothing_that_is_of_no_use_at_run_time_is_packed(build, kind):
    names = [path for each in getattr(build, kind)() for path in files(build.folder_of(each))]

    useless = [
        str(path) for path in names if {"__pycache__", "tests", "bin"} & set(path.parts) or path.suffix == ".pyi"
    ]
    assert names
    assert useless == []


def test_the_shared_layer_is_the_package_as_it_lies_in_the_repository(build):
    source = {name: digest for name, digest in digests(LAYER).items() if "__pycache__" not in name}

    assert digests(build.folder_of("SharedLayer") / "python") == source


def test_a_function_s_own_code_is_its_handler(build):
    folders = {path.parent.name: digests(path.parent)["app.py"] for path in FUNCTIONS.glob("*/app.py")}
    packed = [digests(build.folder_of(function)) for function in build.functions()]

    assert sorted(map(str, packed)) == sorted(str({"app.py": digest}) for digest in folders.values())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_function_with_its_layers_is_within_lambda_s_limit(build, architecture):
    for function in build.functions():
        parts = [function, *build.layers_of(function, architecture)]
        assert sum(unzipped_bytes(build.folder_of(part)) for part in parts) < MAX_UNZIPPED_BYTES

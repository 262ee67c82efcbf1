"""Every handler runs from what `sam build` made and what Lambda's runtime brings, and uses all that it carries.

The interpreter is a bare one: `-I -S` leaves it the standard library alone. Of Lambda's runtime it is given boto3 with
what boto3 needs (https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html), last, as Lambda does.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.cold_start import LOCKS, RUNTIME, pinned, top_level
from benchmarks.package_sizes import Build
from tests.build.conftest import LAYERS
from tests.template.expansion import ROOT
from tests.template.python_code import FUNCTIONS

STEPS = sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py"))
# Of the runtime: nothing else may come from there, or a layer lacks it.
FROM_THE_RUNTIME = {"boto3", "botocore", "dateutil", "s3transfer", "six"}

PATHS = "import sys; task, *opt = sys.argv[1:-1]; sys.path[:] = [task, *opt, *sys.path, sys.argv[-1]]\n"
LOADED = (
    "\nimport json; print(json.dumps({n: m.__file__ for n, m in sys.modules.items() if getattr(m, '__file__', None)}))"
)
# What compress loads in its codec's process only, the scores of `min_quality` among it.
CODEC = "\nimport imagejobs.codec_child, imagejobs.image_score"

# One picture through the codec's process into each format, jpegli and SSIMULACRA2 among what it needs.
COMPRESS = """
import time
from imagejobs.codec import Codec
from imagejobs.options import CompressionOptions
body = open({picture!r}, "rb").read()
codec = Codec()
for fields in [{{"format": "webp"}}, {{"format": "avif"}}, {{"effort": "max"}}, {{"min_quality": 70}}]:
    options = CompressionOptions(**fields)
    print(codec.compress(body, options, time.monotonic() + 60).format)
codec.close()
"""


@dataclass(frozen=True, slots=True)
class Bare:
    """This interpreter with what a function has.

    Attributes:
        layers: Folders to import from, by the layers' names without the processor.
        build: What `sam build` made.
        runtime: The packages of Lambda's runtime.
    """

    layers: dict[str, Path]
    build: Build
    runtime: Path

    def run(self, step: str, code: str) -> str:
        function = self.function(step)
        names = [name.removesuffix("Arm64") for name in self.build.layers_of(function, "arm64")]
        folders = [self.build.folder_of(function), *(self.layers[name] for name in names), self.runtime]
        command = [sys.executable, "-I", "-S", "-B", "-c", PATHS + code, *map(str, folders)]
        done = subprocess.run(command, env={}, capture_output=True, check=False, text=True, timeout=60)
        assert done.returncode == 0, f"{step}: {done.stderr}"
        return done.stdout

    def loaded(self, step: str) -> dict[str, str]:
        """Files of the modules that a step loads, by name."""
        code = "import app" + (CODEC if step == "compress" else "") + LOADED
        files: dict[str, str] = json.loads(self.run(step, code))
        return files

    def function(self, step: str) -> str:
        """The logical id of a step's function."""
        return f"{step.title().replace('_', '')}Function"


@pytest.fixture(scope="session")
def bare(build, layers_for_this_interpreter) -> Iterator[Bare]:
    with (
        TemporaryDirectory(prefix="imagejobs-shared-") as shared,
        TemporaryDirectory(prefix="imagejobs-runtime-") as runtime,
    ):
        shutil.copytree(
            build.folder_of("SharedLayer"), shared, dirs_exist_ok=True
        )  # the codec's process leaves bytecode
        layers = {"SharedLayer": Path(shared, "python"), **layers_for_this_interpreter}
        for name in RUNTIME:
            for path in top_level(distribution(name)):
                Path(runtime, path.name).symlink_to(path)
        yield Bare(layers, build, Path(runtime))


@pytest.fixture(scope="session")
def loaded(bare: Bare) -> dict[str, dict[str, str]]:
    return {step: bare.loaded(step) for step in STEPS}


@pytest.mark.parametrize("step", STEPS)
def test_a_handler_loads_from_its_package_its_layers_and_the_runtime(bare, loaded, step):
    files = loaded[step]

    assert files["app"] == str(bare.build.folder_of(bare.function(step)) / "app.py")
    from_the_runtime = {name.partition(".")[0] for name, file in files.items() if file.startswith(str(bare.runtime))}
    assert from_the_runtime <= FROM_THE_RUNTIME


def test_the_codec_compresses_with_what_the_layers_hold(bare):
    picture = str(ROOT / "samples" / "jug.jpg")

    assert bare.run("compress", COMPRESS.format(picture=picture)).split() == ["webp", "avif", "jpeg", "jpeg"]


@pytest.mark.parametrize("layer", LAYERS)
def test_every_distribution_in_a_layer_is_loaded_by_a_function_that_has_it(bare, loaded, layer):
    having = [step for step in STEPS if f"{layer}Arm64" in bare.build.layers_of(bare.function(step), "arm64")]
    used = {name.partition(".")[0] for step in having for name in loaded[step]}
    (lock,) = [path for path in LOCKS if path.parent.name == LAYERS[layer]]
    names = {name: import_names(name) for name in pinned(lock.read_text(encoding="utf-8"))}

    assert names
    assert {name: modules for name, modules in names.items() if not modules & used} == {}


def import_names(name: str) -> set[str]:
    """What a distribution is imported as, `PIL` of pillow; the same version is installed here."""
    folders = {path.name for path in top_level(distribution(name))}
    return {folder.partition(".")[0] for folder in folders if not folder.endswith((".dist-info", ".libs"))}


def test_the_codecs_are_carried_by_compress_alone(build):
    carrying = {
        function
        for function in build.functions()
        if any(layer.startswith("CodecsLayer") for layer in build.layers_of(function, "x86_64"))
    }

    assert carrying == {"CompressFunction"}

"""Artifacts of the local stack: a function's zip runs in this virtual environment, without the engine's settings."""

import io
import json
import subprocess
import zipfile

from local.artifacts import bootstrap, pack


def test_a_functions_zip_holds_its_sources_and_an_executable_bootstrap(tmp_path):
    (tmp_path / "app.py").write_text("handler = None\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not code", encoding="utf-8")

    archive = zipfile.ZipFile(io.BytesIO(pack("AWS::Serverless::Function", tmp_path, ["AUTH"])))

    assert archive.namelist() == ["app.py", "bootstrap"]
    assert archive.getinfo("bootstrap").external_attr >> 16 & 0o111


def test_the_bootstrap_is_valid_shell_that_drops_the_engines_settings():
    script = bootstrap(["AUTH", "LOG_LEVEL"])
    probe = script.replace("exec ", "env #", 1)

    environment = subprocess.run(
        ["sh", "-c", probe],
        env={"AUTH": "true", "LOG_LEVEL": "x", "KEPT": "y"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout

    assert "AUTH" not in environment
    assert "LOG_LEVEL" not in environment
    assert "KEPT=y" in environment
    assert "imagejobs/python" in environment


def test_a_state_machine_is_uploaded_as_json(tmp_path):
    definition = tmp_path / "machine.asl.yaml"
    definition.write_text("StartAt: A\nStates:\n  A: {Type: Task, Resource: '${Arn}', End: true}\n", encoding="utf-8")

    packed = json.loads(pack("AWS::Serverless::StateMachine", definition, []))

    assert packed["States"]["A"] == {"Type": "Task", "Resource": "${Arn}", "End": True}

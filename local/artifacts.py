"""What the local stack uploads for each resource that has an artifact, as `sam package` does for AWS."""

import io
import json
import os
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import yaml

from local.template import load_template, nested_for_local_stack

PROJECT = Path(__file__).parents[1]
SHARED_PACKAGES = PROJECT / "layers" / "imagejobs" / "python"


def pack(resource_type: str, path: Path, dropped_variables: Iterable[str], preload: Path | None = None) -> bytes:
    """The artifact of one resource.

    A layer is empty: its code is reached where it lies, through the bootstrap's PYTHONPATH.

    Args:
        resource_type: The resource's CloudFormation type.
        path: The folder or file that its template names.
        dropped_variables: Environment variables that the functions must not see.
        preload: A folder whose `sitecustomize.py` every function's process runs before its own code.
    """
    if resource_type == "AWS::Serverless::Function":
        return _function_zip(path, bootstrap(dropped_variables, preload))
    if resource_type == "AWS::Serverless::LayerVersion":
        return _zip({"python/empty": b""})
    if resource_type == "AWS::CloudFormation::Stack":
        nested = nested_for_local_stack(load_template(path))
        return json.dumps(nested, default=str).encode("utf-8")  # YAML reads 2012-10-17 as a date
    # Step Functions takes YAML from S3, ministack does not.
    return json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))).encode("utf-8")


def _function_zip(folder: Path, script: str) -> bytes:
    sources = {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.py"))}
    return _zip({**sources, "bootstrap": script.encode("utf-8")})


def bootstrap(dropped_variables: Iterable[str], preload: Path | None = None) -> str:
    """What Lambda's custom runtimes start: AWS's own runtime client in this virtual environment."""
    folders = [str(folder) for folder in (preload, SHARED_PACKAGES) if folder]
    return (
        "#!/bin/sh\n"
        f"unset {' '.join(dropped_variables)}\n"
        f"export PYTHONPATH='{os.pathsep.join(folders)}'\n"
        f"exec '{sys.executable}' -m awslambdaric \"$_HANDLER\"\n"
    )


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()

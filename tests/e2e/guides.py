"""Runs a guide as its reader does: its ```sh blocks, in order, in one shell, beside the files that come with it.

What stands in other blocks (```console, ```json, …) is only shown. In the files' CSVs, `{shop}/vase.jpg` becomes a URL
that the stack under test can fetch.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
# The command is told as the guide has it: with its variables' names, so without the token.
_TELL = "trap 'echo \"The guide fails at: $BASH_COMMAND\" >&2' ERR\n"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"\{shop\}(/[\w./-]+)")
SECONDS = 180.0


def script(text: str) -> str:
    """All commands of a guide; empty when it only shows things."""
    blocks = _BLOCK.findall(text)
    assert len(blocks) == text.count("```sh\n"), "a block is indented or is not closed: it would not be run"
    return "".join(blocks)


def prepare(files: Path, folder: Path, url: Callable[[str], str]) -> None:
    """Put a guide's files into the folder that it runs in.

    Args:
        files: Where they are; there need not be any.
        folder: Where they go.
        url: Where the stack fetches a sample picture, such as `/vase.jpg`.
    """
    if files.is_dir():
        shutil.copytree(files, folder, dirs_exist_ok=True)
    for sheet in folder.rglob("*.csv"):
        text = sheet.read_bytes().decode("utf-8")
        sheet.write_bytes(_PICTURE.sub(lambda match: url(match[1]), text).encode("utf-8"))


def run(commands: str, folder: Path, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a guide's commands in a folder."""
    shell = ["bash", "-Eeuo", "pipefail", "-c", _TELL + commands]
    return subprocess.run(
        shell, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=SECONDS
    )

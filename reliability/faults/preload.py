"""The folder that is put first on the functions' PYTHONPATH, so that the fault layer is loaded with Python itself."""

from pathlib import Path

from local.artifacts import PROJECT

# The project comes last: nothing of it may stand in for a module of the function's.
_SITECUSTOMIZE = """\
import sys
from pathlib import Path

sys.path.append({project!r})
from reliability.faults.layer import install

install(Path({control!r}))
"""


def write_preload(folder: Path, control: Path) -> None:
    """Make the folder.

    Args:
        folder: Where `sitecustomize.py` goes; made if needed.
        control: The control folder that the functions' processes look into.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = _SITECUSTOMIZE.format(project=str(PROJECT), control=str(control))
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")

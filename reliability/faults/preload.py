"""The folder that is put first on the functions' PYTHONPATH, so that a proof's layer is loaded with Python itself."""

from pathlib import Path

from local.artifacts import PROJECT

# The project comes last: nothing of it may stand in for a module of the function's.
_SITECUSTOMIZE = """\
import sys
from pathlib import Path

sys.path.append({project!r})
from {layer} import install

install(Path({told!r}))
"""


def write_preload(folder: Path, layer: str, told: Path) -> None:
    """Make the folder.

    Args:
        folder: Where `sitecustomize.py` goes; made if needed.
        layer: The module whose `install` every process of a function calls first.
        told: What `install` is given: where layer and harness meet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = _SITECUSTOMIZE.format(project=str(PROJECT), layer=layer, told=str(told))
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")

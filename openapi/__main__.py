"""Writes the API's description beside the shared package: `openapi.json` and `docs.html`."""

import json
from collections.abc import Mapping
from pathlib import Path

from openapi.description import describe
from openapi.page import render_page

PACKAGE = Path(__file__).parents[1] / "layers" / "imagejobs" / "python" / "imagejobs"


def written() -> Mapping[Path, str]:
    """Each file, with what it says."""
    document = describe()
    return {
        PACKAGE / "openapi.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n",
        PACKAGE / "docs.html": render_page(document),
    }


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")

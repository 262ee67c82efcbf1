"""The guides of docs/guides do what they say."""

from pathlib import Path

import pytest

from tests.e2e import guides


@pytest.mark.parametrize("guide", sorted(guides.GUIDES.glob("*.md")), ids=lambda path: path.stem)
def test_its_commands_work(guide: Path, shop, user_environment, tmp_path):
    commands = guides.script(guide.read_text(encoding="utf-8"))
    guides.prepare(guides.GUIDES / "files" / guide.stem, tmp_path, shop.url)

    ended = guides.run(commands, tmp_path, user_environment) if commands else None

    assert ended is None or ended.returncode == 0, ended.stdout + ended.stderr

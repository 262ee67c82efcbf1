"""The runner of the guides notices what does not work in them."""

import os

import pytest

from tests.e2e import guides

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def guide(*blocks):
    return "# A guide\n\n" + "\nand then\n\n".join(f"```{kind}\n{text}\n```\n" for kind, text in blocks)


def test_blocks_run_in_one_shell_and_what_is_only_shown_does_not(tmp_path):
    text = guide(("sh", "what=guide"), ("console", "$ exit 1"), ("sh", 'echo "a $what" > out'), ("json", "{}"))

    assert guides.run(guides.script(text), tmp_path, ENVIRONMENT).returncode == 0
    assert (tmp_path / "out").read_text() == "a guide\n"
    assert guides.script(guide(("console", "$ false"))) == ""


@pytest.mark.parametrize(
    "wrong", ["no-such-command", "false | cat", 'echo "$UNSET"', "what=$(false)", "f() { false; }; f"]
)
def test_a_wrong_command_fails_the_guide_and_is_named(tmp_path, wrong):
    ended = guides.run(guides.script(guide(("sh", f"{wrong}\ntouch reached"))), tmp_path, ENVIRONMENT)

    assert ended.returncode != 0
    assert "UNSET: unbound" in ended.stderr or "The guide fails at: " in ended.stderr
    assert not (tmp_path / "reached").exists()


def test_a_block_that_would_not_be_run_is_noticed():
    with pytest.raises(AssertionError, match="would not be run"):
        guides.script("1. First\n\n   ```sh\n   false\n   ```\n")


def test_pictures_in_sheets_become_urls(tmp_path):
    (tmp_path / "files" / "deep").mkdir(parents=True)
    (tmp_path / "files" / "deep" / "a.csv").write_bytes(b'1,"{shop}/vase.jpg|{shop}/mug.webp"\r\n')
    (tmp_path / "files" / "note.txt").write_text("{shop}/vase.jpg")
    folder = tmp_path / "folder"
    folder.mkdir()

    guides.prepare(tmp_path / "files", folder, lambda resource: f"http://shop{resource}?x")
    guides.prepare(tmp_path / "none", folder, lambda resource: resource)

    assert (folder / "deep" / "a.csv").read_bytes() == b'1,"http://shop/vase.jpg?x|http://shop/mug.webp?x"\r\n'
    assert (folder / "note.txt").read_text() == "{shop}/vase.jpg"

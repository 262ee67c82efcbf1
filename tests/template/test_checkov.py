"""What checkov finds in the templates is what .checkov.yaml gives a reason for, and no more or less.

It reads what SAM's translator makes of the template, for that has the roles too. It asks nobody, neither for policies
nor for a newer version of itself.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.template.conftest import EXTRAS
from tests.template.expansion import ROOT, translated

pytestmark = pytest.mark.xdist_group("checkov")  # one run for all tests

CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"  # `make check` installs it
CONFIG = ROOT / ".checkov.yaml"
COMMAND = ["--framework", "cloudformation", "--skip-download", "--compact", "--output", "json", "--directory", "."]
ENVIRONMENT = {"PATH": os.environ["PATH"], "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What it finds with nothing left out."""
    folder: Path = tmp_path_factory.mktemp("checkov")
    (folder / "template.json").write_text(json.dumps(translated(EXTRAS), default=str), encoding="utf-8")
    for nested in ROOT.glob("templates/*.yaml"):
        shutil.copy(nested, folder)
    done = subprocess.run([CHECKOV, *COMMAND], cwd=folder, env=ENVIRONMENT, capture_output=True, check=False, text=True)
    assert done.returncode in {0, 1}, done.stderr
    found: dict = json.loads(done.stdout)
    return found


def test_every_template_was_read(report):
    templates = [ROOT / "template.yaml", *ROOT.glob("templates/*.yaml")]
    checks = [*report["results"]["passed_checks"], *report["results"]["failed_checks"]]

    assert report["summary"]["parsing_errors"] == 0
    assert {Path(check["file_path"]).stem for check in checks} == {path.stem for path in templates}


def test_what_is_found_is_what_there_is_a_reason_for(report):
    found = {
        check["check_id"]: f"{check['check_name']}: {check['resource']}" for check in report["results"]["failed_checks"]
    }

    reasons = set(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["skip-check"])
    assert {check: what for check, what in found.items() if check not in reasons} == {}
    assert reasons - found.keys() == set(), "No longer found: take these out of .checkov.yaml."


def test_every_check_that_is_skipped_has_its_reason():
    skipped = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["skip-check"]

    with_reason = re.findall(r"^  - (CKV\w+) # \S.{20,}$", CONFIG.read_text(encoding="utf-8"), re.MULTILINE)
    assert with_reason == sorted(skipped)

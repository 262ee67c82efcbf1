"""samconfig.toml: one named environment a stage, each deployable with what the template takes."""

import re
import tomllib

import pytest
from samtranslator.yaml_helper import yaml_parse

from imagejobs.destinations import HostList, parse_origins
from tests.template.expansion import ROOT, TEMPLATE

CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
PARAMETERS = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Parameters"]
STAGES = {"default": "dev", "staging": "staging", "prod": "prod"}


def deploy(environment):
    return CONFIG[environment]["deploy"]["parameters"]


def overrides(environment):
    """`Stage=prod A=b` as a dictionary."""
    return dict(pair.split("=", 1) for pair in deploy(environment)["parameter_overrides"].split())


def test_environments_are_dev_staging_and_prod():
    assert CONFIG["version"] == 0.1
    assert CONFIG.keys() - {"version"} == STAGES.keys()


@pytest.mark.parametrize(("environment", "stage"), STAGES.items())
def test_each_environment_deploys_its_own_stage(environment, stage):
    assert overrides(environment)["Stage"] == stage
    assert CONFIG[environment]["global"]["parameters"]["stack_name"] == f"imagejobs-{stage}"
    assert re.fullmatch(PARAMETERS["Stage"]["AllowedPattern"], stage)


@pytest.mark.parametrize("environment", STAGES)
def test_overrides_are_parameters_of_the_template(environment):
    assert overrides(environment).keys() <= PARAMETERS.keys()


@pytest.mark.parametrize("environment", STAGES)
def test_deploying_shows_the_changes_first_and_may_make_roles(environment):
    parameters = deploy(environment)

    assert parameters["confirm_changeset"] is True
    assert parameters["resolve_s3"] is True
    assert "CAPABILITY_IAM" in parameters["capabilities"].split()


def test_no_role_has_a_name_of_its_own(expanded):
    """A named role would need CAPABILITY_NAMED_IAM, and a second stack could not be made beside the first."""
    assert [n for n, role in expanded.of_type("AWS::IAM::Role").items() if "RoleName" in role] == []


def test_validation_lints():
    assert CONFIG["default"]["validate"]["parameters"]["lint"] is True


def test_every_parameter_is_described_and_used():
    source = TEMPLATE.read_text(encoding="utf-8")

    for name, parameter in PARAMETERS.items():
        assert parameter.get("Description"), name
        assert re.search(rf"!Ref {name}\b|\$\{{{name}\}}", source), name


def test_defaults_keep_every_webhook_delay_and_allow_no_private_origin():
    assert float(PARAMETERS["WebhookTimeScale"]["Default"]) == 1
    assert PARAMETERS["PrivateOrigins"]["Default"] == ""


@pytest.mark.parametrize(
    ("parameter", "parse", "entries"),
    [
        ("PrivateOrigins", parse_origins, ["images.internal:8080", "10.0.0.1:80", "[fd00::1]:8080"]),
        (
            "AllowedHosts",
            HostList.parse,
            ["img.example", "*.cdn.example", "8.8.8.8", "8.8.0.0/16", "2606:4700::1111", "2606::/16"],
        ),
    ],
)
def test_a_deployment_takes_every_entry_that_the_functions_take(parameter, parse, entries):
    pattern = PARAMETERS[parameter]["AllowedPattern"]

    assert [entry for entry in ["", *entries] if not re.fullmatch(pattern, entry)] == []
    assert parse(",".join(entries))


@pytest.mark.parametrize(
    ("parameter", "entry"),
    [
        ("PrivateOrigins", "images.internal"),
        ("PrivateOrigins", "http://images.internal:80"),
        ("PrivateOrigins", "fd00::1:80"),
        ("AllowedHosts", "https://img.example"),
        ("AllowedHosts", "img.example:443"),
        ("AllowedHosts", "img.*.example"),
        ("AllowedHosts", "*"),
        ("AllowedHosts", "img.example."),
        ("AllowedHosts", "8.8.0.0/255.255.0.0"),
        ("AllowedHosts", "[2606:4700::1111]"),
        ("AllowedHosts", "bücher.example"),
    ],
)
def test_a_deployment_refuses_an_entry_that_the_functions_would_refuse(parameter, entry):
    assert not re.fullmatch(PARAMETERS[parameter]["AllowedPattern"], entry)


def test_denied_hosts_are_written_as_allowed_ones():
    assert PARAMETERS["DeniedHosts"]["AllowedPattern"] == PARAMETERS["AllowedHosts"]["AllowedPattern"]

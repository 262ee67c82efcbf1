"""The project's SAM template, changed for the local stack: `Runtime`, and where the artifacts lie."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

Template = dict[str, Any]
# A bucket and key, or their URL.
Location = Mapping[str, str] | str

# ministack runs such a function's `bootstrap` as a process that speaks the Lambda runtime API.
LOCAL_RUNTIME = "provided.al2023"

# What `sam package` uploads, of the types that the template uses.
ARTIFACT_PROPERTIES = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
    "AWS::CloudFormation::Stack": "TemplateURL",
}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags."""


def _intrinsic(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    """`!Sub x` is `{"Fn::Sub": x}`, and `!GetAtt a.b` is `{"Fn::GetAtt": ["a", "b"]}`."""
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load_template(path: Path) -> Template:
    """The template as CloudFormation's long form."""
    template: Template = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 a SafeLoader
    return template


def for_local_stack(template: Template, upload: Callable[[str, str, str], Location]) -> Template:
    """A copy of the template with every function on `LOCAL_RUNTIME` and every artifact uploaded.

    And without what refuses requests that have no TLS: on loopback that would be every one.

    Args:
        template: From `load_template`.
        upload: Takes a resource's logical id, its type and the path that it names; where that went in S3.
    """
    local = copy.deepcopy(template)
    local["Globals"]["Function"]["Runtime"] = LOCAL_RUNTIME
    for logical_id, resource in local["Resources"].items():
        artifact = ARTIFACT_PROPERTIES.get(resource["Type"])
        if artifact:
            properties = resource["Properties"]
            properties[artifact] = upload(logical_id, resource["Type"], properties[artifact])
        policy = resource["Properties"].get("PolicyDocument")
        if policy:
            policy["Statement"] = [statement for statement in policy["Statement"] if not _asks_for_tls(statement)]
    return local


def _asks_for_tls(statement: Mapping[str, Any]) -> bool:
    return statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}


def nested_for_local_stack(template: Template) -> Template:
    """A copy of a nested template without alarms on metric math, which ministack refuses to make."""
    local = copy.deepcopy(template)
    local["Resources"] = {
        logical_id: resource
        for logical_id, resource in local["Resources"].items()
        if not (resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"])
    }
    return local


def gateway_responses(template: Template) -> dict[str, dict[str, Any]]:
    """The `GatewayResponses` of the template's API, by response type."""
    apis = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Serverless::Api"]
    return {name: response for api in apis for name, response in api.get("GatewayResponses", {}).items()}

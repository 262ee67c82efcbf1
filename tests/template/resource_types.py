"""The types of all resources that any deployment may make: root expanded by SAM, nested templates as they stand."""

from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from tests.template.conftest import OPTIONAL
from tests.template.expansion import ROOT, TEMPLATE, translated


def resource_types() -> set[str]:
    """Whatever the conditions say; a custom resource's type is the one that CloudFormation has for all."""
    root = translated(OPTIONAL)
    nested = [yaml_parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "templates").glob("*.yaml"))]
    types = {resource["Type"] for template in (root, *nested) for resource in template["Resources"].values()}
    return {"AWS::CloudFormation::CustomResource" if name.startswith("Custom::") else name for name in types}


def parameters() -> dict[str, dict[str, Any]]:
    """The root template's parameters."""
    found: dict[str, dict[str, Any]] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Parameters"]
    return found

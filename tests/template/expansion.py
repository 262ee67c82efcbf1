"""The template as an account would deploy it: expanded by SAM's translator, its parameters and conditions worked out.

References to resources stay text that can be compared: `!Ref Bucket` is `${Bucket}`, `!GetAtt Bucket.Arn` is
`${Bucket.Arn}`, and `!Sub "${Bucket.Arn}/images/*"` is `${Bucket.Arn}/images/*`.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.translator.transform import transform  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"

ACCOUNT_ID = "123456789012"
REGION = "eu-west-1"
PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "imagejobs-test",
    "AWS::URLSuffix": "amazonaws.com",
}
# The translator takes S3 URIs only; `sam package` would have uploaded what these name.
ARTIFACT_PROPERTIES = ("CodeUri", "ContentUri", "DefinitionUri")
ARTIFACTS = "s3://artifacts/"

_REFERENCE = re.compile(r"\$\{([^!}][^}]*)\}")
_ABSENT = object()

Properties = dict[str, Any]


def _select(arguments: Sequence[Any]) -> Any:
    index, values = arguments
    # What cannot be split before the stack is made is a list of one.
    return f"{values[0]}[{index}]" if len(values) == 1 else values[int(index)]


_OF_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "Fn::Join": lambda arguments: arguments[0].join(map(str, arguments[1])),
    "Fn::Split": lambda arguments: [arguments[1]] if "${" in arguments[1] else arguments[1].split(arguments[0]),
    "Fn::Select": _select,
    "Fn::Equals": lambda arguments: arguments[0] == arguments[1],
    "Fn::Not": lambda arguments: not arguments[0],
    "Fn::And": all,
    "Fn::Or": any,
    "Fn::GetAZs": lambda _: ["zone-a", "zone-b"],
}


@dataclass(frozen=True, slots=True)
class Stack:
    """The resources and outputs that a deployment makes; what a condition leaves out is not there.

    Attributes:
        resources: Resources by logical id, their properties resolved.
        outputs: Values of the outputs by name.
    """

    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]

    def nested(self, logical_id: str) -> "Stack":
        """The stack that a resource of this one makes, with the values that it is given."""
        properties = self.resources[logical_id]["Properties"]
        source = yaml_parse((ROOT / properties["TemplateURL"]).read_text(encoding="utf-8"))
        given = {name: str(value) for name, value in properties["Parameters"].items()}
        return _resolve_stack(source, {**_parameters(source, given), "AWS::StackName": logical_id.lower()})

    def of_type(self, resource_type: str) -> dict[str, Properties]:
        """Properties of every resource of a CloudFormation type, by logical id."""
        return {
            logical_id: resource.get("Properties", {})
            for logical_id, resource in self.resources.items()
            if resource["Type"] == resource_type
        }

    def the(self, resource_type: str) -> Properties:
        """Properties of the only resource of its type."""
        (properties,) = self.of_type(resource_type).values()
        return properties

    def functions(self) -> dict[str, Properties]:
        """Properties of every Lambda function, by step: the name of its folder under functions/."""
        return {step_of(function): function for function in self.of_type("AWS::Lambda::Function").values()}

    def function_id(self, reference: str) -> str:
        """The logical id of the function that a reference to it, or to its alias, means."""
        name = logical_id(reference)
        alias = self.of_type("AWS::Lambda::Alias").get(name)
        return logical_id(alias["FunctionName"]) if alias else name

    def step(self, reference: str) -> str:
        """The step of the function that a reference means."""
        return step_of(self.of_type("AWS::Lambda::Function")[self.function_id(reference)])


def step_of(function: Properties) -> str:
    """The step that a function's properties belong to."""
    folder, _, step = function["Code"]["S3Key"].partition("/")
    assert folder == "functions", function["Code"]
    return str(step)


def logical_id(reference: str) -> str:
    """`Bucket` of the references `${Bucket}` and `${Bucket.Arn}`."""
    return reference.removeprefix("${").removesuffix("}").partition(".")[0]


def references(node: Any) -> Iterator[str]:
    """Logical ids that a resolved value refers to."""
    if isinstance(node, str):
        yield from (found.partition(".")[0] for found in _REFERENCE.findall(node))
    elif isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from references(value)


def referenced(node: Any) -> Iterator[str]:
    """Names that a value which is not worked out refers to: parameters, resources, conditions."""
    match node:
        case (
            {"Ref": str(name)}
            | {"Condition": str(name)}
            | {"Fn::GetAtt": [str(name), *_]}
            | {"Fn::If": [str(name), *_]}
        ):
            yield name
        case {"Fn::Sub": [str(text), dict()]} | {"Fn::Sub": str(text)}:
            yield from references(text)
    if isinstance(node, dict):
        yield from [node["DependsOn"]] if isinstance(node.get("DependsOn"), str) else node.get("DependsOn", [])
    if isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from referenced(value)


def expand(given: Mapping[str, str]) -> Stack:
    """Expand the template with parameter values as `sam deploy --parameter-overrides` takes them."""
    source = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    parameters = _parameters(source, given)
    return _resolve_stack(_translate(source, parameters), parameters)


def translated(given: Mapping[str, str]) -> dict[str, Any]:
    """The template in CloudFormation's own terms, its conditions and references not worked out."""
    source = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    return _translate(source, _parameters(source, given))


def _parameters(source: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    parameters = {name: str(p["Default"]) for name, p in source["Parameters"].items() if "Default" in p}
    parameters |= {**given, **PSEUDO_PARAMETERS}
    missing = source["Parameters"].keys() - parameters
    assert not missing, f"No value for {missing}"
    return parameters


def _translate(source: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    for resource in source["Resources"].values():
        properties = resource["Properties"]
        for name in ARTIFACT_PROPERTIES:
            if name in properties:
                properties[name] = ARTIFACTS + properties[name]
    with _region():
        translated: dict[str, Any] = transform(source, dict(parameters), _NoManagedPolicies())
    return translated


class _NoManagedPolicies:
    """In place of the loader that asks IAM; the template names no managed policy."""

    def load(self) -> dict[str, str]:
        return {}


@contextmanager
def _region() -> Iterator[None]:
    """The translator derives the partition of its ARNs from the environment's region."""
    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = REGION
    try:
        yield
    finally:
        del os.environ["AWS_DEFAULT_REGION"]
        if before is not None:
            os.environ["AWS_DEFAULT_REGION"] = before


def _resolve_stack(template: dict[str, Any], parameters: Mapping[str, str]) -> Stack:
    values = {name: _typed(template["Parameters"].get(name, {}).get("Type"), text) for name, text in parameters.items()}
    resolver = _Resolver(values, template.get("Conditions", {}), template.get("Mappings", {}))
    return Stack(
        resources={
            name: resolver.resolve(resource)
            for name, resource in template["Resources"].items()
            if resolver.holds(resource)
        },
        outputs={
            name: resolver.resolve(output["Value"])
            for name, output in template["Outputs"].items()
            if resolver.holds(output)
        },
    )


def _typed(parameter_type: str | None, text: str) -> Any:
    if parameter_type == "Number":
        return float(text) if "." in text else int(text)
    if parameter_type is not None and (parameter_type == "CommaDelimitedList" or parameter_type.startswith("List<")):
        return [item.strip() for item in text.split(",")]
    return text


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Works out intrinsic functions.

    Attributes:
        values: Parameters and pseudo parameters.
        conditions: The template's conditions, not worked out.
        mappings: The template's mappings.
    """

    values: Mapping[str, Any]
    conditions: Mapping[str, Any]
    mappings: Mapping[str, Any]

    def holds(self, conditional: Mapping[str, Any]) -> bool:
        """Whether a resource or output is made at all."""
        name = conditional.get("Condition")
        return name is None or self._condition(name)

    def resolve(self, node: Any) -> Any:
        """`node` with every intrinsic function worked out and every `AWS::NoValue` left out."""
        if isinstance(node, list):
            return [value for item in node if (value := self.resolve(item)) is not _ABSENT]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name in {"Ref", "Condition"} and isinstance(argument, str):
                return self._ref(argument) if name == "Ref" else self._condition(argument)
            if name.startswith("Fn::"):
                return self._call(name, argument)
        return {key: value for key, item in node.items() if (value := self.resolve(item)) is not _ABSENT}

    def _condition(self, name: str) -> bool:
        return bool(self.resolve(self.conditions[name]))

    def _ref(self, name: str) -> Any:
        return _ABSENT if name == "AWS::NoValue" else self.values.get(name, f"${{{name}}}")

    def _call(self, name: str, argument: Any) -> Any:
        match name:
            case "Fn::If":
                condition, when_true, when_false = argument
                return self.resolve(when_true if self._condition(condition) else when_false)
            case "Fn::GetAtt":
                return f"${{{'.'.join(argument)}}}"
            case "Fn::Sub":
                return self._sub(argument)
            case "Fn::FindInMap":
                mapping, first, second = self.resolve(argument)
                return self.mappings[mapping][first][second]
        if name not in _OF_VALUES:
            raise NotImplementedError(f"The tests cannot work out {name} yet; add it here.")
        return _OF_VALUES[name](self.resolve(argument))

    def _sub(self, argument: str | list[Any]) -> str:
        text, local = (argument, {}) if isinstance(argument, str) else argument
        values = {**self.values, **self.resolve(local)}
        return _REFERENCE.sub(lambda match: str(values.get(match[1], match[0])), text)

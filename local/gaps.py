"""What ministack leaves undone when it deploys the template, done through its services' APIs."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from local.ministack import client_options, session
from local.template import Template, gateway_responses

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

# AWS has no action of its own for a batch: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
BATCH_ACTIONS = {
    "sqs:SendMessage": "sqs:SendMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}


def apply_gateway_responses(port: int, template: Template, api_id: str, stage: str) -> None:
    """Set the API's own answers: SAM writes them into its OpenAPI document, where ministack does not look."""
    client = session().client("apigateway", **client_options(port))
    for response_type, response in gateway_responses(template).items():
        client.put_gateway_response(restApiId=api_id, **_gateway_response(response_type, response))
    client.create_deployment(restApiId=api_id, stageName=stage)


def _gateway_response(response_type: str, response: Mapping[str, Any]) -> dict[str, Any]:
    """SAM's form of a gateway response as the arguments of PutGatewayResponse."""
    headers = response.get("ResponseParameters", {}).get("Headers", {})
    arguments = {
        "responseType": response_type,
        "responseParameters": {f"gatewayresponse.header.{name}": value for name, value in headers.items()},
        "responseTemplates": response.get("ResponseTemplates", {}),
    }
    if "StatusCode" in response:
        arguments["statusCode"] = str(response["StatusCode"])
    return arguments


def allow_batches(port: int) -> None:
    """Let who may send one message send ten: ministack asks for a permission that AWS does not know."""
    client = session().client("iam", **client_options(port))
    for role, policy, document in _role_policies(client):
        for statement in document["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            statement["Action"] = actions + [BATCH_ACTIONS[action] for action in actions if action in BATCH_ACTIONS]
        client.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))


def _role_policies(client: "IAMClient") -> Iterator[tuple[str, str, dict[str, Any]]]:
    for role in client.list_roles()["Roles"]:
        for policy in client.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            answer = client.get_role_policy(RoleName=role["RoleName"], PolicyName=policy)
            yield role["RoleName"], policy, cast("dict[str, Any]", answer["PolicyDocument"])

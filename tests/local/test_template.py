"""The template that the local stack deploys differs from the project's in `Runtime` and artifacts only."""

from pathlib import Path

import pytest

from local.artifacts import PROJECT
from local.template import for_local_stack, gateway_responses, load_template, nested_for_local_stack

TEMPLATE = """
Globals:
  Function:
    Runtime: python3.13
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      GatewayResponses:
        UNAUTHORIZED: {StatusCode: 401}
  Step:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/step
      Role: !GetAtt Role.Arn
      Environment: {Variables: {NAME: !Sub "${AWS::StackName}-x", QUEUE: !Ref Queue}}
  Queue:
    Type: AWS::SQS::Queue
    Condition: Wanted
    Properties:
      QueueName: !If [Wanted, !Join ["-", [a, !Ref Stage]], !Ref AWS::NoValue]
"""


@pytest.fixture
def template(tmp_path: Path):
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE, encoding="utf-8")
    return load_template(path)


def test_short_tags_become_cloudformations_long_form(template):
    step = template["Resources"]["Step"]["Properties"]
    queue = template["Resources"]["Queue"]["Properties"]

    assert step["Role"] == {"Fn::GetAtt": ["Role", "Arn"]}
    assert step["Environment"]["Variables"] == {"NAME": {"Fn::Sub": "${AWS::StackName}-x"}, "QUEUE": {"Ref": "Queue"}}
    assert queue["QueueName"] == {
        "Fn::If": ["Wanted", {"Fn::Join": ["-", ["a", {"Ref": "Stage"}]]}, {"Ref": "AWS::NoValue"}]
    }


def test_only_the_runtime_and_the_artifacts_change(template):
    uploaded = []

    def upload(logical_id, resource_type, path):
        uploaded.append((logical_id, resource_type, path))
        return {"Bucket": "artifacts", "Key": logical_id}

    local = for_local_stack(template, upload)

    assert uploaded == [("Step", "AWS::Serverless::Function", "functions/step")]
    assert local["Globals"]["Function"].pop("Runtime") == "provided.al2023"
    assert local["Resources"]["Step"]["Properties"].pop("CodeUri") == {"Bucket": "artifacts", "Key": "Step"}
    del template["Globals"]["Function"]["Runtime"], template["Resources"]["Step"]["Properties"]["CodeUri"]
    assert local == template


def test_gateway_responses_are_those_of_the_api(template):
    assert gateway_responses(template) == {"UNAUTHORIZED": {"StatusCode": 401}}


def test_every_artifact_of_the_projects_template_is_in_the_project():
    missing = []

    def check(logical_id, resource_type, path):
        if not (PROJECT / path).exists():
            missing.append(path)
        return {}

    for_local_stack(load_template(PROJECT / "template.yaml"), check)

    assert missing == []


def test_alarms_on_metric_math_are_left_out_and_nothing_else():
    whole = load_template(PROJECT / "templates" / "monitoring.yaml")
    local = nested_for_local_stack(whole)
    left_out = [resource for name, resource in whole["Resources"].items() if name not in local["Resources"]]

    assert left_out
    assert {resource["Type"] for resource in left_out} == {"AWS::CloudWatch::Alarm"}
    assert all("Metrics" in resource["Properties"] for resource in left_out)
    assert not any("Metrics" in resource["Properties"] for resource in local["Resources"].values())

"""docs/iam/*.json: whoever deploys may do all that the templates need, in documents that IAM takes."""

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from cfnlint.api import lint_all

from tests.template.expansion import ROOT, TEMPLATE, Properties, Stack
from tests.template.resource_types import resource_types

POLICIES = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "docs/iam").glob("*.json"))
}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: without white space
MANAGED_POLICY_CHARACTERS = 6_144


def acts(service: str, names: str) -> set[str]:
    return {f"{service}:{name}" for name in names.split()}


# What CloudFormation does with a resource of each type: make, look, change, tag, remove. After the permissions of the
# handlers in the types' schemas: https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html
TAGS_ROLE = acts("iam", "TagRole UntagRole")
PASSES_ROLE = {"iam:PassRole"}
API_GATEWAY = acts("apigateway", "DELETE GET PATCH POST PUT")
SECURITY_GROUP_RULES = acts(
    "ec2",
    "AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress DescribeSecurityGroupRules DescribeSecurityGroups "
    "RevokeSecurityGroupEgress RevokeSecurityGroupIngress",
)
TAGS_EC2 = acts("ec2", "CreateTags DeleteTags")
TAGS_RDS = acts("rds", "AddTagsToResource ListTagsForResource RemoveTagsFromResource")

NEEDED: Mapping[str, set[str]] = {
    "AWS::ApiGateway::Account": API_GATEWAY | PASSES_ROLE,
    "AWS::ApiGateway::Deployment": API_GATEWAY,
    "AWS::ApiGateway::RestApi": API_GATEWAY,
    "AWS::ApiGateway::Stage": API_GATEWAY,
    "AWS::CloudFormation::CustomResource": {"lambda:InvokeFunction"},
    "AWS::CloudFormation::Stack": acts("cloudformation", "CreateStack DeleteStack DescribeStacks UpdateStack")
    | {"s3:GetObject"},
    "AWS::CloudFront::Distribution": acts(
        "cloudfront",
        "CreateDistribution DeleteDistribution GetDistribution GetDistributionConfig ListTagsForResource TagResource "
        "UntagResource UpdateDistribution",
    ),
    "AWS::CloudFront::OriginAccessControl": acts(
        "cloudfront",
        "CreateOriginAccessControl DeleteOriginAccessControl GetOriginAccessControl UpdateOriginAccessControl",
    ),
    "AWS::CloudFront::ResponseHeadersPolicy": acts(
        "cloudfront",
        "CreateResponseHeadersPolicy DeleteResponseHeadersPolicy GetResponseHeadersPolicy UpdateResponseHeadersPolicy",
    ),
    "AWS::CloudWatch::Alarm": acts(
        "cloudwatch", "DeleteAlarms DescribeAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource"
    ),
    "AWS::CloudWatch::CompositeAlarm": acts(
        "cloudwatch", "DeleteAlarms DescribeAlarms ListTagsForResource PutCompositeAlarm TagResource UntagResource"
    ),
    "AWS::CloudWatch::Dashboard": acts("cloudwatch", "DeleteDashboards GetDashboard PutDashboard"),
    "AWS::CodeDeploy::Application": acts(
        "codedeploy", "CreateApplication DeleteApplication GetApplication TagResource UpdateApplication"
    ),
    "AWS::CodeDeploy::DeploymentGroup": acts(
        "codedeploy",
        "CreateDeployment CreateDeploymentGroup DeleteDeploymentGroup GetApplicationRevision GetDeployment "
        "GetDeploymentConfig GetDeploymentGroup RegisterApplicationRevision StopDeployment UpdateDeploymentGroup",
    )
    | PASSES_ROLE,
    "AWS::EC2::EIP": acts("ec2", "AllocateAddress DescribeAddresses DisassociateAddress ReleaseAddress") | TAGS_EC2,
    "AWS::EC2::FlowLog": acts("ec2", "CreateFlowLogs DeleteFlowLogs DescribeFlowLogs") | TAGS_EC2 | PASSES_ROLE,
    "AWS::EC2::InternetGateway": acts("ec2", "CreateInternetGateway DeleteInternetGateway DescribeInternetGateways")
    | TAGS_EC2,
    "AWS::EC2::NatGateway": acts("ec2", "CreateNatGateway DeleteNatGateway DescribeNatGateways") | TAGS_EC2,
    "AWS::EC2::Route": acts("ec2", "CreateRoute DeleteRoute DescribeRouteTables ReplaceRoute"),
    "AWS::EC2::RouteTable": acts("ec2", "CreateRouteTable DeleteRouteTable DescribeRouteTables") | TAGS_EC2,
    "AWS::EC2::SecurityGroup": acts("ec2", "CreateSecurityGroup DeleteSecurityGroup") | SECURITY_GROUP_RULES | TAGS_EC2,
    "AWS::EC2::SecurityGroupEgress": SECURITY_GROUP_RULES,
    "AWS::EC2::SecurityGroupIngress": SECURITY_GROUP_RULES,
    "AWS::EC2::Subnet": acts(
        "ec2", "CreateSubnet DeleteSubnet DescribeAvailabilityZones DescribeSubnets ModifySubnetAttribute"
    )
    | TAGS_EC2,
    "AWS::EC2::SubnetRouteTableAssociation": acts(
        "ec2", "AssociateRouteTable DescribeRouteTables DisassociateRouteTable ReplaceRouteTableAssociation"
    ),
    "AWS::EC2::VPC": acts("ec2", "CreateVpc DeleteVpc DescribeVpcAttribute DescribeVpcs ModifyVpcAttribute") | TAGS_EC2,
    "AWS::EC2::VPCEndpoint": acts("ec2", "CreateVpcEndpoint DeleteVpcEndpoints DescribeVpcEndpoints ModifyVpcEndpoint")
    | TAGS_EC2,
    "AWS::EC2::VPCGatewayAttachment": acts(
        "ec2", "AttachInternetGateway DescribeInternetGateways DetachInternetGateway"
    ),
    "AWS::Events::Rule": acts(
        "events",
        "DeleteRule DescribeRule DisableRule EnableRule ListTagsForResource ListTargetsByRule PutRule PutTargets "
        "RemoveTargets TagResource UntagResource",
    ),
    "AWS::IAM::Role": acts(
        "iam",
        "AttachRolePolicy CreateRole DeleteRole DeleteRolePolicy DetachRolePolicy GetRole GetRolePolicy "
        "ListAttachedRolePolicies ListRolePolicies PutRolePolicy UpdateAssumeRolePolicy UpdateRole",
    )
    | TAGS_ROLE,
    "AWS::KMS::Alias": acts("kms", "CreateAlias DeleteAlias ListAliases UpdateAlias"),
    "AWS::KMS::Key": acts(
        "kms",
        "CreateKey DescribeKey EnableKeyRotation GetKeyPolicy GetKeyRotationStatus ListResourceTags PutKeyPolicy "
        "ScheduleKeyDeletion TagResource UntagResource UpdateKeyDescription",
    ),
    "AWS::Lambda::Alias": acts("lambda", "CreateAlias DeleteAlias GetAlias UpdateAlias"),
    "AWS::Lambda::EventInvokeConfig": acts(
        "lambda",
        "DeleteFunctionEventInvokeConfig GetFunctionEventInvokeConfig PutFunctionEventInvokeConfig "
        "UpdateFunctionEventInvokeConfig",
    ),
    "AWS::Lambda::EventSourceMapping": acts(
        "lambda",
        "CreateEventSourceMapping DeleteEventSourceMapping GetEventSourceMapping ListTags TagResource UntagResource "
        "UpdateEventSourceMapping",
    ),
    "AWS::Lambda::Function": acts(
        "lambda",
        "CreateFunction DeleteFunction DeleteFunctionConcurrency GetFunction GetFunctionCodeSigningConfig "
        "GetFunctionConfiguration GetFunctionRecursionConfig GetLayerVersion GetRuntimeManagementConfig ListTags "
        "PutFunctionConcurrency TagResource UntagResource UpdateFunctionCode UpdateFunctionConfiguration",
    )
    | acts("ec2", "DescribeSecurityGroups DescribeSubnets DescribeVpcs")
    | {"s3:GetObject"}
    | PASSES_ROLE,
    "AWS::Lambda::LayerVersion": acts("lambda", "DeleteLayerVersion GetLayerVersion PublishLayerVersion")
    | {"s3:GetObject"},
    "AWS::Lambda::Permission": acts("lambda", "AddPermission GetPolicy RemovePermission"),
    "AWS::Lambda::Version": acts("lambda", "DeleteFunction GetFunction ListVersionsByFunction PublishVersion"),
    "AWS::Logs::LogGroup": acts(
        "logs",
        "AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DescribeLogGroups DisassociateKmsKey "
        "ListTagsForResource PutRetentionPolicy TagResource UntagResource",
    ),
    "AWS::Logs::MetricFilter": acts("logs", "DeleteMetricFilter DescribeMetricFilters PutMetricFilter"),
    "AWS::RDS::DBInstance": acts(
        "rds",
        "CreateDBInstance CreateDBSnapshot DeleteDBInstance DescribeDBEngineVersions DescribeDBInstances "
        "DescribeDBSnapshots DescribeEvents ModifyDBInstance RebootDBInstance",
    )
    | TAGS_RDS
    | acts("secretsmanager", "CreateSecret TagResource")
    | acts("kms", "CreateGrant DescribeKey")
    | {"iam:CreateServiceLinkedRole"}
    | PASSES_ROLE,
    "AWS::RDS::DBParameterGroup": acts(
        "rds",
        "CreateDBParameterGroup DeleteDBParameterGroup DescribeDBParameterGroups DescribeDBParameters "
        "DescribeEngineDefaultParameters ModifyDBParameterGroup ResetDBParameterGroup",
    )
    | TAGS_RDS,
    "AWS::RDS::DBProxy": acts("rds", "CreateDBProxy DeleteDBProxy DescribeDBProxies ModifyDBProxy")
    | TAGS_RDS
    | PASSES_ROLE,
    "AWS::RDS::DBProxyTargetGroup": acts(
        "rds",
        "DeregisterDBProxyTargets DescribeDBProxyTargetGroups DescribeDBProxyTargets ModifyDBProxyTargetGroup "
        "RegisterDBProxyTargets",
    ),
    "AWS::RDS::DBSubnetGroup": acts(
        "rds", "CreateDBSubnetGroup DeleteDBSubnetGroup DescribeDBSubnetGroups ModifyDBSubnetGroup"
    )
    | TAGS_RDS,
    "AWS::S3::Bucket": acts(
        "s3",
        "CreateBucket DeleteBucket GetBucketNotification GetBucketVersioning GetEncryptionConfiguration "
        "GetLifecycleConfiguration PutBucketNotification PutBucketOwnershipControls PutBucketPublicAccessBlock "
        "PutBucketTagging PutBucketVersioning PutEncryptionConfiguration PutLifecycleConfiguration",
    ),
    "AWS::S3::BucketPolicy": acts("s3", "DeleteBucketPolicy GetBucketPolicy PutBucketPolicy"),
    "AWS::SNS::Subscription": acts("sns", "GetSubscriptionAttributes SetSubscriptionAttributes Subscribe Unsubscribe"),
    "AWS::SNS::Topic": acts(
        "sns",
        "CreateTopic DeleteTopic GetTopicAttributes ListSubscriptionsByTopic ListTagsForResource SetTopicAttributes "
        "Subscribe TagResource Unsubscribe UntagResource",
    ),
    "AWS::SNS::TopicPolicy": acts("sns", "GetTopicAttributes SetTopicAttributes"),
    "AWS::SQS::Queue": acts(
        "sqs", "CreateQueue DeleteQueue GetQueueAttributes ListQueueTags SetQueueAttributes TagQueue UntagQueue"
    ),
    "AWS::SQS::QueuePolicy": acts("sqs", "GetQueueAttributes SetQueueAttributes"),
    "AWS::SecretsManager::ResourcePolicy": acts(
        "secretsmanager", "DeleteResourcePolicy GetResourcePolicy PutResourcePolicy"
    ),
    "AWS::SecretsManager::Secret": acts(
        "secretsmanager",
        "CreateSecret DeleteSecret DescribeSecret GetRandomPassword TagResource UntagResource UpdateSecret",
    ),
    "AWS::StepFunctions::StateMachine": acts(
        "states",
        "CreateStateMachine DeleteStateMachine DescribeStateMachine ListTagsForResource TagResource UntagResource "
        "UpdateStateMachine",
    )
    | acts(
        "logs",
        "CreateLogDelivery DeleteLogDelivery DescribeLogGroups DescribeResourcePolicies GetLogDelivery "
        "ListLogDeliveries PutResourcePolicy UpdateLogDelivery",
    )
    | PASSES_ROLE,
    "AWS::WAFv2::WebACL": acts(
        "wafv2",
        "CreateWebACL DeleteWebACL GetWebACL ListTagsForResource TagResource UntagResource UpdateWebACL",
    ),
    "AWS::WAFv2::WebACLAssociation": acts("wafv2", "AssociateWebACL DisassociateWebACL GetWebACL GetWebACLForResource")
    | {"apigateway:SetWebACL"},
}

# `sam deploy` and `sam delete` themselves: SAM's own stack with the bucket for artifacts, change sets, events.
SAM_DEPLOY = acts(
    "cloudformation",
    "CreateChangeSet DeleteStack DescribeChangeSet DescribeStackEvents DescribeStacks ExecuteChangeSet GetTemplate "
    "GetTemplateSummary",
) | acts("s3", "CreateBucket DeleteObject GetObject PutBucketPolicy PutBucketTagging PutBucketVersioning PutObject")


def statements() -> Iterator[tuple[str, str]]:
    """Every pair of action and resource that the policies allow."""
    for policy in POLICIES.values():
        for statement in policy["Statement"]:
            resources = statement["Resource"]
            for resource in [resources] if isinstance(resources, str) else resources:
                yield from ((action, resource) for action in statement["Action"])


def is_allowed(action: str, resource: str = "*") -> bool:
    """Whether a statement allows the action, on this resource where one is given."""
    return any(
        fnmatchcase(action, allowed) and (resource == "*" or fnmatchcase(resource, scope))
        for allowed, scope in statements()
    )


def test_every_type_of_the_templates_has_its_actions_in_the_table():
    assert resource_types() - NEEDED.keys() == set()


@pytest.mark.parametrize("resource_type", NEEDED)
def test_whoever_deploys_may_do_what_the_type_needs(resource_type):
    assert {action for action in NEEDED[resource_type] if not is_allowed(action)} == set()


def test_whoever_deploys_may_do_what_sam_deploy_needs():
    allowed = {action for statement in POLICIES["deploy"]["Statement"] for action in statement["Action"]}

    assert allowed >= SAM_DEPLOY


def test_no_secret_and_no_object_of_the_stack_is_read():
    """A template that resolves a secret would need it; ours hand ARNs on."""
    templates = [TEMPLATE, *(ROOT / "templates").glob("*.yaml")]

    assert [path.name for path in templates if "{{resolve:" in path.read_text(encoding="utf-8")] == []
    assert not is_allowed("secretsmanager:GetSecretValue")
    assert not is_allowed("s3:GetObject", "arn:aws:s3:::imagejobs-dev-123456789012-eu-west-1/results/a.csv")


NAMED = {
    "AWS::Lambda::LayerVersion": (
        "LayerName",
        "lambda:PublishLayerVersion",
        "arn:aws:lambda:eu-west-1:123456789012:layer:{}",
    ),
    "AWS::S3::Bucket": ("BucketName", "s3:CreateBucket", "arn:aws:s3:::{}"),
    "AWS::StepFunctions::StateMachine": (
        "StateMachineName",
        "states:CreateStateMachine",
        "arn:aws:states:eu-west-1:123456789012:stateMachine:{}",
    ),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs:CreateLogGroup", "arn:aws:logs:eu-west-1:123456789012:log-group:{}"),
}


@pytest.mark.parametrize("resource_type", NAMED)
def test_names_that_the_template_gives_are_in_the_policies_scope(expanded_with_defaults: Stack, resource_type):
    name, action, arn = NAMED[resource_type]
    resources: list[Properties] = list(expanded_with_defaults.of_type(resource_type).values())

    assert [r[name] for r in resources if not is_allowed(action, arn.format(r[name]))] == []


def conditions(key: str) -> set[str]:
    """The values that the policies of roles are bound to by a condition."""
    bound = [statement.get("Condition", {}).values() for statement in POLICIES["compute"]["Statement"]]
    return {value for tests in bound for test in tests for value in test.get(key, [])}


def roles(stack: Stack) -> list[Properties]:
    """Those of the root and of the stacks that it makes."""
    stacks = [stack, *(stack.nested(logical_id) for logical_id in stack.of_type("AWS::CloudFormation::Stack"))]
    return [role for each in stacks for role in each.of_type("AWS::IAM::Role").values()]


def test_the_managed_policies_that_roles_get_may_be_attached(expanded: Stack):
    attached = {arn for role in roles(expanded) for arn in role.get("ManagedPolicyArns", [])}

    assert {a for a in attached if not any(fnmatchcase(a, pattern) for pattern in conditions("iam:PolicyARN"))} == set()


def test_roles_may_be_passed_to_the_services_that_take_them(expanded: Stack):
    documents = [role["AssumeRolePolicyDocument"] for role in roles(expanded)]
    trusted = [statement["Principal"]["Service"] for document in documents for statement in document["Statement"]]
    services = {service for found in trusted for service in ([found] if isinstance(found, str) else found)}

    assert services - conditions("iam:PassedToService") == set()


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_fits_a_managed_policy(name):
    assert len(re.sub(r"\s", "", json.dumps(POLICIES[name]))) <= MANAGED_POLICY_CHARACTERS


def test_iam_takes_the_policies_and_knows_their_actions():
    template = {
        "Resources": {
            name.capitalize(): {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}
            for name, policy in POLICIES.items()
        }
    }

    assert [str(match) for match in lint_all(json.dumps(template))] == []


def test_the_table_names_no_action_that_does_not_exist():
    """By the same check, which knows AWS's services and their actions."""
    needed = sorted(set().union(*NEEDED.values()))
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": needed, "Resource": "*"}]}
    template = {"Resources": {"Table": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}}}

    assert [str(match) for match in lint_all(json.dumps(template)) if match.rule.id == "W3037"] == []


def test_the_page_names_every_policy():
    page = Path(ROOT / "docs/iam.md").read_text(encoding="utf-8")

    assert [name for name in POLICIES if f"iam/{name}.json" not in page] == []

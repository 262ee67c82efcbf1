"""Least privilege: what each function may do, to the letter. A permission that a step needs is added here too."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.template.conftest import OPTIONAL
from tests.template.expansion import ACCOUNT_ID, PSEUDO_PARAMETERS, REGION, Properties, Stack, logical_id

# How a function gets into the database: by its secret, or through the proxy by IAM, if it does not load much at once.
READS_GIVEN_SECRET = {("secretsmanager:GetSecretValue", OPTIONAL["DatabaseSecretArn"])}
READS_MADE_SECRET = {("secretsmanager:GetSecretValue", "${Database.Outputs.SecretArn}")}
SIGNS_IN_AT_PROXY = {("rds-db:connect", "${Database.Outputs.ProxyUserArn}")}
AROUND_PROXY = {"fan_out", "migrate"}
WITHOUT_DATABASE = {"authorize", "send_webhook"}
READS_CALLERS = {("secretsmanager:GetSecretValue", "${Callers.Id}")}  # a secret's Id is its ARN
STARTS_FINALIZER = {("states:StartExecution", "${Finalizer}")}
# By name: the finalizer tells of the API's URL, so that a reference back would be circular.
FINALIZER_BY_NAME = f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:{PSEUDO_PARAMETERS['AWS::StackName']}-finalizer"
RINGS_QUEUES = {("sqs:SendMessage", "${RowQueue.Arn}"), ("sqs:SendMessage", "${UploadQueue.Arn}")}
# Objects are always read by their version, and a read by version needs this permission alone:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
READS_SHEETS = {("s3:GetObjectVersion", f"${{Bucket.Arn}}/{prefix}/*") for prefix in ("uploads", "drop")}
READS_CORRECTIONS = {("s3:GetObjectVersion", "${Bucket.Arn}/corrections/*")}
# Metadata of dropped files; a HEAD is documented as needing the plain permission, too:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
HEADS_SHEETS = {("s3:GetObject", f"${{Bucket.Arn}}/{prefix}/*") for prefix in ("uploads", "drop")}
DEAD_LETTERS_OF_RUNS = ("sqs:SendMessage", "${AsyncDeadLetterQueue.Arn}")
EXECUTIONS = f"arn:aws:states:{REGION}:{ACCOUNT_ID}:execution:${{Finalizer.Name}}:*"

ALLOWED = {
    "authorize": READS_CALLERS,
    "api": {("s3:PutObject", "${Bucket.Arn}/uploads/*"), ("s3:GetObjectVersion", "${Bucket.Arn}/results/*")}
    | {("s3:GetObjectVersion", "${Bucket.Arn}/reports/*")}
    | {("s3:PutObject", "${Bucket.Arn}/corrections/*")}
    | READS_SHEETS
    | READS_CORRECTIONS
    | {("sqs:SendMessage", "${UploadQueue.Arn}"), ("states:StartExecution", FINALIZER_BY_NAME)},
    "fan_out": READS_SHEETS
    | HEADS_SHEETS
    | RINGS_QUEUES
    | {("sqs:ChangeMessageVisibility", "${UploadQueue.Arn}")}
    | STARTS_FINALIZER,
    "compress": {("s3:PutObject", "${Bucket.Arn}/images/*"), ("s3:DeleteObjectVersion", "${Bucket.Arn}/images/*")}
    | RINGS_QUEUES
    | {("sqs:ChangeMessageVisibility", "${RowQueue.Arn}")}
    | STARTS_FINALIZER,
    "bury": STARTS_FINALIZER,
    "finalize": READS_SHEETS
    | READS_CORRECTIONS
    | {("s3:DeleteObject", "${Bucket.Arn}/results/*.failures.csv")}
    | {("s3:PutObject", "${Bucket.Arn}/results/*"), ("s3:AbortMultipartUpload", "${Bucket.Arn}/results/*")}
    | {("s3:PutObject", "${Bucket.Arn}/webhooks/*"), ("s3:DeleteObject", "${Bucket.Arn}/results/*.error.json")}
    | {("s3:ListBucketVersions", "${Bucket.Arn}"), ("s3:DeleteObjectVersion", "${Bucket.Arn}/images/*")}
    | {("sqs:SendMessage", "${ReportQueue.Arn}")},
    "report": {("s3:GetObject", "${Bucket.Arn}/images/*"), ("s3:PutObject", "${Bucket.Arn}/reports/*")}
    | {("sqs:ChangeMessageVisibility", "${ReportQueue.Arn}")},
    "send_webhook": READS_CALLERS | {("s3:GetObjectVersion", "${Bucket.Arn}/webhooks/*")},
    "sweep": RINGS_QUEUES | STARTS_FINALIZER | {("states:DescribeExecution", EXECUTIONS), DEAD_LETTERS_OF_RUNS},
    "migrate": {DEAD_LETTERS_OF_RUNS},
}

# AWS's own policies, which SAM adds: logs, the network interfaces of a VPC, receiving from event source queues.
LOGS, TRACES, NETWORK, RECEIVES = (
    "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
    "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess",
    "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole",
    "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole",
)
MANAGED = {
    "authorize": {LOGS, TRACES},
    "api": {LOGS, TRACES, NETWORK},
    "fan_out": {LOGS, TRACES, NETWORK, RECEIVES},
    "compress": {LOGS, TRACES, NETWORK, RECEIVES},
    "bury": {LOGS, TRACES, NETWORK, RECEIVES},
    "finalize": {LOGS, TRACES, NETWORK},
    "send_webhook": {LOGS, TRACES},
    "report": {LOGS, TRACES, NETWORK, RECEIVES},
    "sweep": {LOGS, TRACES, NETWORK},
    "migrate": {LOGS, TRACES, NETWORK},
}
# What keeps a state machine's log names no resource: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
KEEPS_ITS_LOG = {
    (f"logs:{action}", "*")
    for action in (
        "CreateLogDelivery",
        "GetLogDelivery",
        "UpdateLogDelivery",
        "DeleteLogDelivery",
        "ListLogDeliveries",
        "PutResourcePolicy",
        "DescribeResourcePolicies",
        "DescribeLogGroups",
    )
}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def role_of(stack: Stack, step: str) -> Properties:
    role: Properties = stack.resources[logical_id(stack.functions()[step]["Role"])]["Properties"]
    return role


def statements(role: Properties) -> Iterator[dict[str, Any]]:
    for policy in role.get("Policies", []):
        yield from as_list(policy["PolicyDocument"]["Statement"])


def permissions(role: Properties) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for statement in statements(role)
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def test_every_function_is_listed(expanded):
    assert set(ALLOWED) == set(MANAGED) == set(expanded.functions())


def test_every_role_serves_one_function_or_state_machine(expanded):
    users = [*expanded.functions().values(), *expanded.of_type("AWS::StepFunctions::StateMachine").values()]
    roles = [logical_id(user.get("Role") or user["RoleArn"]) for user in users]

    assert sorted(roles) == sorted(set(expanded.of_type("AWS::IAM::Role")) - {"CodeDeployServiceRole"})


@pytest.mark.parametrize("step", ALLOWED)
def test_function_may_do_what_it_needs_and_nothing_else(expanded_with_defaults, expanded_with_options, step):
    needs_database = step not in WITHOUT_DATABASE
    made, given = (READS_MADE_SECRET, READS_GIVEN_SECRET) if needs_database else (set(), set())

    assert permissions(role_of(expanded_with_defaults, step)) == ALLOWED[step] | made
    assert permissions(role_of(expanded_with_options, step)) == ALLOWED[step] | given


@pytest.mark.parametrize("step", ALLOWED)
def test_with_a_proxy_no_function_reads_the_password_but_those_that_go_around_it(expanded_with_extras, step):
    through = SIGNS_IN_AT_PROXY if step not in AROUND_PROXY else READS_MADE_SECRET

    assert permissions(role_of(expanded_with_extras, step)) == ALLOWED[step] | (
        set() if step in WITHOUT_DATABASE else through
    )


def test_the_name_that_the_api_starts_the_finalizer_by_is_the_finalizers_own(expanded):
    (finalizer,) = expanded.of_type("AWS::StepFunctions::StateMachine").values()
    variables = {step: function["Environment"]["Variables"] for step, function in expanded.functions().items()}

    assert FINALIZER_BY_NAME.rpartition(":")[2] == finalizer["StateMachineName"]
    assert variables["api"]["FINALIZER_ARN"] == FINALIZER_BY_NAME
    assert variables["sweep"]["FINALIZER_ARN"] == "${Finalizer}"


def test_only_images_are_listed(expanded):
    (listing,) = [s for s in statements(role_of(expanded, "finalize")) if s["Action"] == "s3:ListBucketVersions"]

    assert listing["Condition"] == {"StringLike": {"s3:prefix": "images/*"}}


@pytest.mark.parametrize("step", MANAGED)
def test_function_has_only_the_managed_policies_of_its_kind(expanded, step):
    arns = role_of(expanded, step)["ManagedPolicyArns"]

    assert set(arns) == MANAGED[step]


def test_finalizer_may_invoke_its_functions_only(expanded):
    role = expanded.resources["FinalizerRole"]["Properties"]

    assert role["ManagedPolicyArns"] == [TRACES]
    assert permissions(role) - KEEPS_ITS_LOG == {
        ("lambda:InvokeFunction", "${FinalizeFunctionAliaslive}"),
        ("lambda:InvokeFunction", "${SendWebhookFunctionAliaslive}"),
    }


def test_no_statement_of_ours_has_a_wildcard(expanded):
    for role in expanded.of_type("AWS::IAM::Role").values():
        for statement in statements(role):
            assert statement["Effect"] == "Allow"
            if permissions({"Policies": [{"PolicyDocument": {"Statement": statement}}]}) == KEEPS_ITS_LOG:
                continue
            assert not {"NotAction", "NotResource"} & statement.keys()
            assert all("*" not in action for action in as_list(statement["Action"])), statement
            assert all(resource.partition("*")[0] for resource in as_list(statement["Resource"])), statement


def test_every_role_is_assumed_by_one_service(expanded):
    services = {
        name: [s["Principal"]["Service"] for s in role["AssumeRolePolicyDocument"]["Statement"]]
        for name, role in expanded.of_type("AWS::IAM::Role").items()
    }

    assert services.pop("FinalizerRole") == [["states.amazonaws.com"]]
    assert services.pop("CodeDeployServiceRole", [["codedeploy.amazonaws.com"]]) == [["codedeploy.amazonaws.com"]]
    assert all(service == [["lambda.amazonaws.com"]] for service in services.values()), services


def test_functions_are_invoked_by_their_own_triggers_only(expanded):
    grants = expanded.of_type("AWS::Lambda::Permission").values()

    assert {(expanded.step(g["FunctionName"]), g["Principal"], g["SourceArn"]) for g in grants} == {
        ("authorize", "apigateway.amazonaws.com", api_arn("authorizers/*")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/web/*/*")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/health")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/openapi.json")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/docs")),
        ("api", "apigateway.amazonaws.com", api_arn("*/POST/upload")),
        ("api", "apigateway.amazonaws.com", api_arn("*/POST/uploads")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/jobs")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/job/status/*")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/job/*/result")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/job/*/failures.csv")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/job/*/report.html")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/job/*/images")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/job/*/events")),
        ("api", "apigateway.amazonaws.com", api_arn("*/GET/job/*/deliveries")),
        ("api", "apigateway.amazonaws.com", api_arn("*/POST/job/*/retry")),
        ("api", "apigateway.amazonaws.com", api_arn("*/POST/job/*/cancel")),
        ("api", "apigateway.amazonaws.com", api_arn("*/POST/job/*/redeliver")),
        ("sweep", "events.amazonaws.com", "${SweepFunctionEveryMinute.Arn}"),
    }


def api_arn(path: str) -> str:
    return f"arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:${{Api}}/{path}"

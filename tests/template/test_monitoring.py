"""Alarms and dashboard: each looks at a metric that is really sent, and each alarm has its paragraph in the runbook."""

import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from benchmarks.prices import PRICES
from imagejobs import errors
from imagejobs.metrics import Metric
from imagejobs.steps.compress import _AttemptFailed
from tests.integration.emf import EMITTED, WITH_CODE
from tests.template.expansion import ROOT, logical_id
from tests.template.resource_types import parameters

ERRORS = {"AccessDenied", "OperationalError", "SettingMissing", "StillWorkedOn"}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")

# What AWS sends, by namespace and dimensions.
SENT_BY_AWS = {
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    ("AWS/SQS", ("QueueName",)): {
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesVisible",
        "NumberOfEmptyReceives",
        "NumberOfMessagesDeleted",
        "NumberOfMessagesReceived",
        "NumberOfMessagesSent",
        "SentMessageSize",
    },
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    ("AWS/Lambda", ("FunctionName",)): {
        "AsyncEventAge",
        "AsyncEventsDropped",
        "AsyncEventsReceived",
        "ConcurrentExecutions",
        "DeadLetterErrors",
        "Duration",
        "Errors",
        "Invocations",
        "Throttles",
    },
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
    ("AWS/ApiGateway", ("ApiName", "Stage")): {"4XXError", "5XXError", "Count", "IntegrationLatency", "Latency"},
    # https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
    ("AWS/States", ("StateMachineArn",)): {
        "ExecutionThrottled",
        "ExecutionTime",
        "ExecutionsAborted",
        "ExecutionsFailed",
        "ExecutionsStarted",
        "ExecutionsSucceeded",
        "ExecutionsTimedOut",
    },
    # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-metrics.html
    ("AWS/RDS", ("DBInstanceIdentifier",)): {
        "CPUUtilization",
        "DatabaseConnections",
        "FreeStorageSpace",
        "FreeableMemory",
        "ReadIOPS",
        "ReadLatency",
        "WriteIOPS",
        "WriteLatency",
    },
}
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-data-queries.html
MAX_ALARM_METRICS = 10
DASHBOARD_COLUMNS = 24
MATH_FUNCTIONS = {"IF", "METRICS", "PERIOD", "SUM"}


@pytest.fixture
def watched(expanded):
    """The root, and what its Monitoring makes."""
    return expanded, expanded.nested("Monitoring")


Series = tuple[str, str, dict[str, str]]


def alarms(monitoring):
    return monitoring.of_type("AWS::CloudWatch::Alarm")


def series_of(alarm) -> Iterator[Series]:
    """Namespace, name and dimensions of each metric that an alarm looks at."""
    stats = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    for metric in stats or [alarm]:
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
        yield metric["Namespace"], metric["MetricName"], dimensions


def dashboard(monitoring):
    return json.loads(monitoring.the("AWS::CloudWatch::Dashboard")["DashboardBody"])["widgets"]


def charts(monitoring):
    return [widget["properties"] for widget in dashboard(monitoring) if widget["type"] == "metric"]


def series_in(chart) -> Iterator[Series]:
    """The same of each metric that a chart shows; the names of a SEARCH stand for all values of its dimensions."""
    for namespace, *rest in chart["metrics"]:
        if isinstance(namespace, dict):
            yield from searched(namespace["expression"])
            continue
        name, *pairs = [part for part in rest if not isinstance(part, dict)]
        yield namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True))


def searched(expression) -> Iterator[Series]:
    for namespace, names, metric in re.findall(r"SEARCH\('\{\"([^\"]+)\",([\w,]+)\} MetricName=\"(\w+)\"'", expression):
        yield namespace, metric, dict.fromkeys(names.split(","), "*")


def is_sent(root, namespace, name, dimensions) -> bool:
    """Whether something of the stack sends this metric."""
    if namespace == own_namespace(root):
        return is_sent_by_the_code(name, dimensions)
    names = SENT_BY_AWS.get((namespace, tuple(sorted(dimensions))), set())
    return name in names and all(is_of_the_stack(root, *dimension) for dimension in dimensions.items())


def is_sent_by_the_code(name, dimensions) -> bool:
    service, code = dimensions.get("service"), dimensions.get("code")
    if name not in EMITTED or not dimensions.keys() <= {"service", "code"}:
        return False
    return service in {"*", *EMITTED[name]} and (code is None or (name in WITH_CODE and code in {"*", *error_codes()}))


def error_codes() -> set[str]:
    classes = [found for found in vars(errors).values() if isinstance(found, type)]
    return {_AttemptFailed.code, *(c.code for c in classes if issubclass(c, errors.ImageError))}


def own_namespace(root) -> str:
    namespaces = {f["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] for f in root.functions().values()}
    (namespace,) = namespaces
    return namespace


def is_of_the_stack(root, dimension, value) -> bool:
    """Whether a dimension's value is what AWS sends for something of the stack."""
    api = root.the("AWS::ApiGateway::RestApi")
    values = {
        "QueueName": {f"${{{name}.QueueName}}" for name in root.of_type("AWS::SQS::Queue")},
        "FunctionName": {f"${{{name}}}" for name in root.of_type("AWS::Lambda::Function")},
        "StateMachineArn": {f"${{{name}}}" for name in root.of_type("AWS::StepFunctions::StateMachine")},
        "ApiName": {api.get("Name", api["Body"]["info"]["title"])},
        "Stage": {root.the("AWS::ApiGateway::Stage")["StageName"]},
        "DBInstanceIdentifier": {"${Database.Outputs.InstanceId}"},
    }
    return value in values[dimension]


def watched_by(monitoring, name, dimension) -> set[str]:
    """Logical ids of what alarms look at by this metric, alone or in math."""
    found = [series for alarm in alarms(monitoring).values() for series in series_of(alarm)]
    return {logical_id(dimensions[dimension]) for _, metric, dimensions in found if metric == name}


# ── Alarms ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_alarm_looks_at_metrics_that_are_sent(watched):
    root, monitoring = watched
    unsent = [
        (name, *series)
        for name, a in alarms(monitoring).items()
        for series in series_of(a)
        if not is_sent(root, *series)
    ]

    assert unsent == []


def test_math_is_what_cloudwatch_takes(watched):
    """One result, over metrics of one period, that names nothing but them."""
    _, monitoring = watched
    maths = {name: alarm["Metrics"] for name, alarm in alarms(monitoring).items() if "Metrics" in alarm}

    assert maths
    for name, queries in maths.items():
        inputs = {query["Id"]: query for query in queries if "MetricStat" in query}
        (result,) = [query for query in queries if query.get("ReturnData", True)]
        assert len(inputs) <= MAX_ALARM_METRICS, name
        assert len({query["MetricStat"]["Period"] for query in inputs.values()}) == 1, name
        words = set(re.findall(r"[A-Za-z_]\w*", result["Expression"]))
        assert words - MATH_FUNCTIONS <= inputs.keys(), name
        assert "METRICS" in words or words & inputs.keys() == inputs.keys(), name


def test_every_alarm_tells_somebody_when_it_begins_and_ends(watched):
    _, monitoring = watched
    (topic,) = monitoring.of_type("AWS::SNS::Topic")

    assert {str(a["AlarmActions"]) + str(a["OKActions"]) for a in alarms(monitoring).values()} == {
        2 * f"['${{{topic}}}']"
    }


def test_every_alarm_says_what_silence_means(watched):
    """It breaches only where somebody must be heard every minute."""
    _, monitoring = watched
    silence = {name: alarm["TreatMissingData"] for name, alarm in alarms(monitoring).items()}

    assert set(silence.values()) == {"breaching", "notBreaching"}
    assert {name for name, meaning in silence.items() if meaning == "breaching"} - {"DatabaseCpu"} == {"SweeperStopped"}


def test_alarms_are_named_after_the_stack_as_the_topics_policy_wants(watched):
    _, monitoring = watched
    names = [alarm["AlarmName"] for alarm in alarms(monitoring).values()]
    (allowed,) = [
        s for s in monitoring.the("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"
    ]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"imagejobs-test-[a-z-]+", name) for name in names)
    assert allowed["Condition"]["ArnLike"]["aws:SourceArn"].endswith(":alarm:imagejobs-test-*")


def test_the_database_is_watched_when_the_stack_made_it(expanded_with_defaults, expanded_with_options):
    def of_database(root):
        found = [(n, *s) for n, a in alarms(root.nested("Monitoring")).items() for s in series_of(a)]
        return {name for name, namespace, *_ in found if namespace == "AWS/RDS"}

    assert of_database(expanded_with_defaults) == {"DatabaseCpu", "DatabaseConnectionsUsed", "DatabaseStorage"}
    assert of_database(expanded_with_options) == set()


def test_every_queue_has_an_age_and_every_dead_letter_queue_a_depth(watched):
    root, monitoring = watched
    queues = root.of_type("AWS::SQS::Queue")
    dead = {name for name, queue in queues.items() if "RedrivePolicy" not in queue}

    assert watched_by(monitoring, "ApproximateAgeOfOldestMessage", "QueueName") == set(queues)
    assert watched_by(monitoring, "ApproximateNumberOfMessagesVisible", "QueueName") == dead


def test_letters_that_a_function_receives_are_counted_while_it_hides_them(watched):
    root, monitoring = watched
    received = {logical_id(m["EventSourceArn"]) for m in root.of_type("AWS::Lambda::EventSourceMapping").values()}
    depth = watched_by(monitoring, "ApproximateNumberOfMessagesVisible", "QueueName")

    assert watched_by(monitoring, "ApproximateNumberOfMessagesNotVisible", "QueueName") == depth & received


def test_every_function_is_watched(watched):
    """But the errors of authorize: a wrong token is one. And refusals of report, which its queue invokes alone."""
    root, monitoring = watched
    functions = set(root.of_type("AWS::Lambda::Function"))

    assert {root.step(name) for name in functions - watched_by(monitoring, "Throttles", "FunctionName")} == {"report"}
    assert {root.step(name) for name in functions - watched_by(monitoring, "Errors", "FunctionName")} == {"authorize"}


# ── The runbook ─────────────────────────────────────────────────────────────────────────────────────────────────────


def paragraphs() -> Counter[str]:
    """The anchors of the headings under "Alarms", as GitHub makes them."""
    part = RUNBOOK.split("\n## Alarms\n")[1].split("\n## ")[0]
    return Counter(anchor(heading) for heading in re.findall(r"(?m)^### (.+)$", part))


def anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_every_alarm_names_its_paragraph_and_every_paragraph_has_an_alarm(expanded_with_defaults):
    of_all = alarms(expanded_with_defaults.nested("Monitoring"))
    descriptions = {name: alarm["AlarmDescription"] for name, alarm in of_all.items()}
    named = {name: re.findall(r"docs/runbook\.md#([a-z0-9-]+)$", text) for name, text in descriptions.items()}

    assert [name for name, found in named.items() if len(found) != 1] == []
    assert {found[0] for found in named.values()} == set(paragraphs())
    assert set(paragraphs().values()) == {1}
    assert max(map(len, descriptions.values())) <= 1024


def test_every_paragraph_says_how_to_look_what_to_do_and_when_it_is_over():
    part = RUNBOOK.split("\n## Alarms\n")[1].split("\n## ")[0]
    for paragraph in part.split("\n### ")[1:]:
        begins = re.findall(r"(?m)^- ([A-Z][a-z]+(?:, do)?)[:,]", paragraph)
        assert begins in (["Look", "Do", "Over"], ["Look, do", "Over"]), paragraph.splitlines()[0]


def test_links_of_the_runbook_lead_to_its_headings():
    headings = {anchor(heading) for heading in re.findall(r"(?m)^##+ (.+)$", RUNBOOK)}

    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= headings


def test_messages_and_metrics_that_the_runbook_looks_for_are_logged():
    code = "".join(
        path.read_text(encoding="utf-8") for folder in ("functions", "layers") for path in (ROOT / folder).rglob("*.py")
    )
    lists = re.findall(r'message (?:= ("\w+")|in \[([^]]+)\])', RUNBOOK)
    messages = set(re.findall(r'"(\w+)"', "".join(map("".join, lists))))

    assert len(messages) > 5
    assert {message for message in messages if f'"{message}"' not in code} == set()
    metrics = set(re.findall(r"filter (\w+)\.0 > 0", RUNBOOK))
    assert metrics
    assert metrics <= set(Metric)


def test_outputs_and_parameters_that_the_runbook_names_are_there(expanded_with_defaults):
    outputs = set(re.findall(r"\$\(output (\w+)\)", RUNBOOK))
    named = set(re.findall(r"`((?:[A-Z][a-z]+){2,})`", RUNBOOK)) - ERRORS

    assert outputs
    assert outputs <= expanded_with_defaults.outputs.keys()
    assert len(named) > 4
    assert named <= parameters().keys()


# ── The dashboard ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_dashboard_shows_metrics_that_are_sent(watched):
    root, monitoring = watched
    unsent = [(c["title"], *s) for c in charts(monitoring) for s in series_in(c) if not is_sent(root, *s)]

    assert unsent == []
    assert sum(len(list(series_in(chart))) for chart in charts(monitoring)) > 50


def test_the_dashboard_s_math_names_what_stands_beside_it(watched):
    _, monitoring = watched
    for chart in charts(monitoring):
        options = [entry[-1] for entry in chart["metrics"] if isinstance(entry[-1], dict)]
        ids = Counter(option["id"] for option in options if "id" in option)
        assert set(ids.values()) <= {1}, chart["title"]
        for option in options:
            if "SEARCH" not in option.get("expression", "SEARCH"):
                words = set(re.findall(r"[A-Za-z_]\w*", option["expression"])) - MATH_FUNCTIONS
                assert words <= ids.keys(), chart["title"]


def test_the_dashboard_shows_every_alarm_but_those_of_the_database(watched):
    _, monitoring = watched
    (shown,) = [widget["properties"]["alarms"] for widget in dashboard(monitoring) if widget["type"] == "alarm"]
    names = {alarm["AlarmName"] for name, alarm in alarms(monitoring).items() if not name.startswith("Database")}

    assert {arn.rpartition(":alarm:")[2] for arn in shown} == names


def test_widgets_lie_beside_one_another(watched):
    _, monitoring = watched
    places = Counter(
        (column, row)
        for widget in dashboard(monitoring)
        for column in range(widget["x"], widget["x"] + widget["width"])
        for row in range(widget["y"], widget["y"] + widget["height"])
    )

    assert max(places.values()) == 1
    assert max(column for column, _ in places) < DASHBOARD_COLUMNS


def test_the_cost_is_of_each_functions_memory_at_the_list_price(watched):
    root, monitoring = watched
    (chart,) = [chart for chart in charts(monitoring) if chart["title"].startswith("Lambda: USD")]
    found = {entry[0]["label"]: entry[0]["expression"] for entry in chart["metrics"] if isinstance(entry[0], dict)}

    assert found.keys() == root.functions().keys()
    for step, expression in found.items():
        price = rf"\* {price_of_a_gb_second(root)} \+ n_{step} \* 0\.0000002"
        memory_mb = root.functions()[step].get("MemorySize", 128)
        assert re.fullmatch(rf"ms_{step} / 1000 \* {memory_mb} / 1024 {price}", expression)
    assert PRICES["lambda_request"].usd == 0.0000002


def price_of_a_gb_second(root) -> str:
    architectures = {f["Architectures"][0] for f in root.functions().values()}
    (architecture,) = architectures
    return f"{PRICES['lambda_arm64' if architecture == 'arm64' else 'lambda_x86'].usd:.10f}"


def test_an_operator_with_an_address_is_written_to(watched):
    root, monitoring = watched
    given = root.resources["Monitoring"]["Properties"]["Parameters"]["AlarmEmail"]
    subscriptions = monitoring.of_type("AWS::SNS::Subscription").values()

    assert [(s["Protocol"], s["Endpoint"]) for s in subscriptions] == ([("email", given)] if given else [])


# ── The topic ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cloudwatch_alone_publishes_and_only_for_this_account_and_by_tls(watched):
    _, monitoring = watched
    statements = {s["Sid"]: s for s in monitoring.the("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]}

    assert statements.keys() == {"AlarmsPublish", "TlsOnly"}
    assert statements["AlarmsPublish"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statements["AlarmsPublish"]["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}
    assert statements["TlsOnly"]["Effect"] == "Deny"
    assert statements["TlsOnly"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}

"""The tables of docs/deploy.md and docs/iam.md that repeat what code says; `make doc-tables` writes them anew.

A table stands between two comments that name it. What changing a parameter does to a live stack the template does not
say: that is here, and has to be written for each.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.cost import HOURS_A_MONTH, IDLE_RECEIVES_A_SECOND
from benchmarks.prices import PRICES
from tests.template.conftest import OPTIONAL
from tests.template.expansion import PSEUDO_PARAMETERS, ROOT, Stack, expand
from tests.template.resource_types import parameters
from tests.template.test_permissions import ALLOWED, permissions, role_of

DEPLOY_PAGE = ROOT / "docs" / "deploy.md"
IAM_PAGE = ROOT / "docs" / "iam.md"

_FUNCTIONS = "The functions begin anew with it; nothing is replaced."
_BOTH = "At once. Raise the visibility before the time-out, lower it after."
CHANGING = {
    "Stage": "**Replaces** the API's URL and the bucket; the old bucket stays. Make another stack instead.",
    "DatabaseHost": "Filled in, the stack's own network and database go (the database with a last snapshot); "
    "emptied, new ones come, without data. Move the data yourself.",
    "DatabasePort": _FUNCTIONS,
    "DatabaseName": "**Replaces** a database that the stack made by an empty one. "
    "Of an existing server, another database is used.",
    "DatabaseSecretArn": _FUNCTIONS,
    "DatabaseSslMode": _FUNCTIONS,
    "DatabaseInstanceClass": "In place: minutes without the database, about one with a standby. Jobs wait and go on.",
    "DatabaseStorageGb": "Grows in place; AWS refuses less, and a second change within six hours.",
    "DatabaseMultiAz": "In place, without a pause; slower writes while the standby is filled.",
    "DatabaseDeletionProtection": "In place. `false` is the first step of removing the stack.",
    "DatabaseProxy": "The functions take the other way; the database stays.",
    "DatabaseConnections": "The functions' concurrency, at once. A larger `DatabaseInstanceClass` goes first.",
    "SubnetIds": "The functions get other network interfaces; takes minutes, replaces nothing.",
    "SecurityGroupIds": "As SubnetIds.",
    "NatGateways": "In place; downloads in the second zone break off and are tried again. Shops see other addresses.",
    "InterfaceEndpoints": "In place; calls to AWS fail for a moment and are repeated.",
    "CustomerManagedKey": "**Replaces** a database that the stack made by an empty one: choose it at the beginning.",
    "WebFirewall": "In place.",
    "ImageBaseUrl": "Filled in, the distribution goes, and the URLs that were handed out with it. Later images get the "
    "new one.",
    "ApiBaseUrl": "Links in later answers and webhooks.",
    "DropOwner": "Later drops; earlier jobs stay with their owner.",
    "DropDailyImages": "Later drops.",
    "DropWriterArn": "The bucket's policy, at once.",
    "DefaultWebhookUrl": "Later drops.",
    "PrivateOrigins": _FUNCTIONS,
    "AllowedHosts": _FUNCTIONS,
    "DeniedHosts": _FUNCTIONS,
    "WebhookTimeScale": "The next wait of each webhook. Leave it.",
    "FanOutTimeoutSeconds": _BOTH,
    "UploadVisibilitySeconds": _BOTH,
    "CompressTimeoutSeconds": _BOTH,
    "RowVisibilitySeconds": _BOTH,
    "DeadLetterVisibilitySeconds": "At once.",
    "Architecture": "Other layers and new versions of the functions, after another `sam build`.",
    "GradualDeployment": "In place; from the next deployment on.",
    "AlarmEmail": "The new address must confirm; the old one gets no more.",
    "LogRetentionDays": "In place; a shorter one deletes what is older.",
    "SheetDays": "In place; a shorter one deletes what is older, within a day or two; those jobs cannot be retried.",
}

# What is paid for while nothing is done: what it is for, the price, how many of its units a month.
IDLE = [
    ("Postgres, `db.t4g.medium`; twice that with a standby", "rds_t4g_medium", HOURS_A_MONTH),
    ("Postgres, 20 GB; twice that with a standby", "rds_storage", 20),
    ("RDS Proxy before two vCPUs (`DatabaseProxy`)", "rds_proxy", 2 * HOURS_A_MONTH),
    ("a NAT gateway (`NatGateways`)", "nat_gateway", HOURS_A_MONTH),
    ("its address", "public_ipv4", HOURS_A_MONTH),
    ("three interface endpoints in two zones (`InterfaceEndpoints`)", "interface_endpoint", 6 * HOURS_A_MONTH),
    ("the key (`CustomerManagedKey`)", "kms_key", 1),
    ("the firewall (`WebFirewall`)", "web_acl", 1),
    ("its three rules", "web_acl_rule", 3),
    ("two secrets", "secret", 2),
    ("each alarm", "alarm", 1),
    ("the dashboard", "dashboard", 1),
    ("receives of five empty queues", "sqs_request", HOURS_A_MONTH * 3600 * IDLE_RECEIVES_A_SECOND),
]

# Names of the expansion's made-up account: what they are in the reader's.
_OWN = [
    (r"\$\{(\w+)(\.(Arn|Id|Name))?\}", r"\1"),
    (re.escape(OPTIONAL["DatabaseSecretArn"]), "the database's secret"),
    (r"arn:aws:\w+:[\w-]*:\d*:", ""),
    (PSEUDO_PARAMETERS["AWS::StackName"], "<stack>"),
]


def main() -> None:
    """Write all tables."""
    for page in (DEPLOY_PAGE, IAM_PAGE):
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


def with_tables(page: str) -> str:
    """The page with every table that it has a place for as it should be."""
    tables = {"parameters": parameter_table, "idle": idle_table, "functions": function_table}
    for name in re.findall(r"<!-- (\w+): begin -->", page):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, _, rest = page.partition(begin)
        page = before + begin + tables[name]() + end + rest.partition(end)[2]
    return page


def parameter_table() -> str:
    """Every parameter, in the template's order."""
    rows = [
        [f"`{name}`", _default(parameter), _allowed(parameter), parameter["Description"], CHANGING.get(name, "")]
        for name, parameter in parameters().items()
    ]
    return markdown(["parameter", "default", "allowed", "says", "changed on a live stack"], rows)


def idle_table() -> str:
    """USD a month for what stands there, whatever is done with it."""
    rows = [
        [
            what,
            f"{PRICES[name].usd:.7f}".rstrip("0").rstrip("."),
            PRICES[name].unit,
            f"{PRICES[name].usd * units:.2f}",
            _seen(name),
        ]
        for what, name, units in IDLE
    ]
    return markdown(["for", "USD", "each", "a month", "price seen"], rows)


def function_table() -> str:
    """What each function may do beyond AWS's own policies for logs, network interfaces and its queue."""
    stack = expand(OPTIONAL)
    return markdown(["function", "may"], [[f"`{step}`", _may(stack, step)] for step in ALLOWED])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; bars within cells are escaped."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _default(parameter: Mapping[str, Any]) -> str:
    if "Default" not in parameter:
        return "none"
    return f"`{parameter['Default']}`" if parameter["Default"] != "" else "empty"


def _allowed(parameter: Mapping[str, Any]) -> str:
    if "AllowedValues" in parameter:
        return ", ".join(f"`{value}`" for value in parameter["AllowedValues"])
    if "ConstraintDescription" in parameter:
        return str(parameter["ConstraintDescription"]).removeprefix("must be ").removesuffix(".")
    if "AllowedPattern" in parameter:
        return f"`{parameter['AllowedPattern']}`"
    limits = {"from": parameter.get("MinValue"), "to": parameter.get("MaxValue")}
    said = " ".join(f"{word} {limit}" for word, limit in limits.items() if limit is not None)
    return said or ("any number" if parameter["Type"] == "Number" else "any")


def _seen(price: str) -> str:
    page, _, date = PRICES[price].seen.partition(" (")
    if not PRICES[price].is_confirmed:
        return "**not confirmed**"
    return f"[{page.split('/')[2]}]({page}){' ' + date.removesuffix(')') if date else ''}"


def _may(stack: Stack, step: str) -> str:
    actions = defaultdict(set)
    for action, resource in permissions(role_of(stack, step)):
        actions[_own_name(resource)].add(f"`{action}`")
    return "; ".join(f"{', '.join(sorted(actions[name]))} on {name}" for name in sorted(actions))


def _own_name(resource: str) -> str:
    for pattern, own in _OWN:
        resource = re.sub(pattern, own, resource)
    return f"`{resource}`" if " " not in resource else resource


if __name__ == "__main__":
    main()

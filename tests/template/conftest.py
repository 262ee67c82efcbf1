"""What the template's tests share: the template expanded in the three ways that its conditions come in."""

import pytest

from tests.template.expansion import Stack, expand

OPTIONAL = {
    "DatabaseHost": "database.example.com",
    "DatabaseSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:database-AbCdEf",
    "SubnetIds": "subnet-1,subnet-2",
    "SecurityGroupIds": "sg-1",
    "ImageBaseUrl": "https://images.example.com",
    "ApiBaseUrl": "https://api.example.com",
    "DropWriterArn": "arn:aws:iam::210987654321:role/supplier",
    "DefaultWebhookUrl": "https://example.com/hook",
    "PrivateOrigins": "images.internal:8080",
    "AllowedHosts": "*.example.com, 203.0.113.0/24",
    "DeniedHosts": "old.example.com",
    "Architecture": "x86_64",
}
EXTRAS = {
    "DatabaseProxy": "true",
    "DatabaseMultiAz": "true",
    "NatGateways": "2",
    "InterfaceEndpoints": "false",
    "CustomerManagedKey": "true",
    "WebFirewall": "true",
    "GradualDeployment": "true",
    "AlarmEmail": "operator@example.com",
}


@pytest.fixture(scope="session")
def expanded_with_defaults() -> Stack:
    """Nothing is given: the stack makes its network and its database."""
    return expand({})


@pytest.fixture(scope="session")
def expanded_with_options() -> Stack:
    """What a team may have already is given, a database and its network among it."""
    return expand(OPTIONAL)


@pytest.fixture(scope="session")
def expanded_with_extras() -> Stack:
    """The stack makes all that it can."""
    return expand(EXTRAS)


@pytest.fixture(scope="session", params=["defaults", "options", "extras"])
def expanded(request: pytest.FixtureRequest) -> Stack:
    """Each of them: what every deployment must hold to."""
    stack: Stack = request.getfixturevalue(f"expanded_with_{request.param}")
    return stack

"""What the template's tests share: the template expanded in the two ways that its conditions allow."""

import pytest

from tests.template.expansion import Stack, expand

REQUIRED = {
    "DatabaseHost": "database.example.com",
    "DatabaseSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:database-AbCdEf",
}
OPTIONAL = {
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


@pytest.fixture(scope="session")
def expanded_with_defaults() -> Stack:
    """Only what has no default is given."""
    return expand(REQUIRED)


@pytest.fixture(scope="session")
def expanded_with_options() -> Stack:
    """Everything that is optional is given."""
    return expand(REQUIRED | OPTIONAL)


@pytest.fixture(scope="session", params=["defaults", "options"])
def expanded(request: pytest.FixtureRequest) -> Stack:
    """Both, one after the other: what every deployment must hold to."""
    stack: Stack = request.getfixturevalue(f"expanded_with_{request.param}")
    return stack

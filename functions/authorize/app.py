"""authorize: who may call. Turns a bearer token into a policy and the caller's name."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes.api_gateway_authorizer_event import (
    APIGatewayAuthorizerResponse,
    APIGatewayAuthorizerTokenEvent,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.callers import Callers

logger = Logger()

_SCHEME = "bearer "


class Unauthorized(Exception):
    """API Gateway answers 401 when an authorizer fails with exactly the message "Unauthorized"."""


@cache
def callers() -> Callers:
    """The environment's callers."""
    return Callers.from_environment()


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer a TOKEN authorizer's question."""
    request = APIGatewayAuthorizerTokenEvent(event)
    caller = callers().by_token(bearer_token(request.authorization_token))
    if caller is None:
        logger.info("token_refused")
        raise Unauthorized("Unauthorized")
    arn = request.parsed_arn
    policy = APIGatewayAuthorizerResponse(
        principal_id=caller.name,
        region=arn.region,
        aws_account_id=arn.aws_account_id,
        api_id=arn.api_id,
        stage=arn.stage,
        partition=arn.partition,
        context={
            "owner": caller.name,
            "daily_images": caller.daily_images,
            "requests_per_minute": caller.requests_per_minute,
        },
    )
    policy.allow_all_routes()  # the whole stage: the policy is cached and serves the caller's next route too
    return policy.asdict()


def bearer_token(authorization: str) -> str:
    """The token of an `Authorization: Bearer <token>` header; empty for any other scheme."""
    return authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else ""

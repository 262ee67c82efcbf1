"""The API: its routes, who may call them, and what API Gateway itself answers."""

import ast
import json
import re

from imagejobs import errors
from imagejobs.callers import CACHE_SECONDS
from imagejobs.limits import MAX_UPLOAD_BYTES
from tests.template.expansion import logical_id
from tests.template.python_code import LAYER, handler_path, parse

# Of the page for people, which the description of the API leaves out.
PAGE = {("get", "/"), ("get", "/web/{version}/{file}")}
ANONYMOUS = {"/", "/web/{version}/{file}", "/health", "/openapi.json", "/docs"}
METHODS = {"get", "post", "put", "patch", "delete"}
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, synchronous request
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html, integration timeout of REST APIs
MAX_INTEGRATION_SECONDS = 29

# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
RESPONSE_TYPES = {
    "ACCESS_DENIED",
    "API_CONFIGURATION_ERROR",
    "AUTHORIZER_CONFIGURATION_ERROR",
    "AUTHORIZER_FAILURE",
    "BAD_REQUEST_BODY",
    "BAD_REQUEST_PARAMETERS",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
    "EXPIRED_TOKEN",
    "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT",
    "INVALID_API_KEY",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "QUOTA_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "RESOURCE_NOT_FOUND",
    "THROTTLED",
    "UNAUTHORIZED",
    "UNSUPPORTED_MEDIA_TYPE",
    "WAF_FILTERED",
}


def body(stack):
    return stack.the("AWS::ApiGateway::RestApi")["Body"]


def operations(stack):
    return {
        (method, path): operation
        for path, methods in body(stack)["paths"].items()
        for method, operation in methods.items()
    }


def routes_of_handler():
    """`("get", "/job/{id}")` for every `@app.get("/job/<id>")`."""
    decorators = [
        decorator
        for node in ast.walk(parse(handler_path("api")))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and decorator.func.attr in METHODS
    ]
    return {(d.func.attr, re.sub(r"<(\w+)>", r"{\1}", d.args[0].value)) for d in decorators}


def gateway_responses(stack):
    return body(stack)["x-amazon-apigateway-gateway-responses"]


def said_by(response):
    """A gateway response as a caller gets it; `messageString` is API Gateway's text, quoted."""
    template = response["responseTemplates"]["application/json"]
    return json.loads(template.replace("$context.error.messageString", json.dumps('Invalid "x"')))


def test_api_is_a_rest_api(expanded):
    """The local engine deploys no routes of HTTP APIs; a function URL would go past the authorizer."""
    kinds = {resource["Type"] for resource in expanded.resources.values()}

    assert not [kind for kind in kinds if kind.startswith("AWS::ApiGatewayV2::")]
    assert "AWS::Lambda::Url" not in kinds
    assert len(expanded.of_type("AWS::ApiGateway::RestApi")) == 1


def test_routes_are_those_that_the_handler_answers(expanded):
    assert routes_of_handler()
    assert set(operations(expanded)) == routes_of_handler()


def test_routes_are_those_that_the_documentation_describes(expanded):
    described = json.loads((LAYER / "imagejobs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    routes = {(method, path) for path, item in described.items() for method in item.keys() & METHODS}

    assert set(operations(expanded)) == routes | PAGE


def test_every_route_reaches_the_api_function_as_a_proxy(expanded):
    for route, operation in operations(expanded).items():
        integration = operation["x-amazon-apigateway-integration"]
        assert integration["type"] == "aws_proxy", route
        assert integration["httpMethod"] == "POST", route
        assert "${ApiFunctionAliaslive}" in integration["uri"], route


def test_multipart_bodies_are_binary(expanded):
    """Written as it is: with `~1` for the slash, the local engine would take them for text."""
    assert body(expanded)["x-amazon-apigateway-binary-media-types"] == ["multipart/form-data"]
    assert expanded.the("AWS::ApiGateway::RestApi")["BinaryMediaTypes"] == ["multipart/form-data"]


def test_every_route_asks_the_token_authorizer_but_the_page_health_and_the_description(expanded):
    security = {route: operation.get("security") for route, operation in operations(expanded).items()}

    assert [security.pop(("get", path)) for path in sorted(ANONYMOUS)] == [[{"NONE": []}]] * len(ANONYMOUS)
    assert security
    assert all(required == [{"BearerToken": []}] for required in security.values()), security


def test_authorizer_is_a_lambda_that_is_given_the_token(expanded):
    (scheme,) = body(expanded)["components"]["securitySchemes"].values()
    authorizer = scheme["x-amazon-apigateway-authorizer"]

    assert scheme["type"] == "apiKey"
    assert (scheme["in"], scheme["name"]) == ("header", "Authorization")
    assert scheme["x-amazon-apigateway-authtype"] == "custom"
    assert authorizer["type"] == "token"
    assert "${AuthorizeFunctionAliaslive}" in authorizer["authorizerUri"]


def test_a_revoked_token_works_for_a_minute_at_most(expanded):
    (scheme,) = body(expanded)["components"]["securitySchemes"].values()

    gateway_seconds = scheme["x-amazon-apigateway-authorizer"]["authorizerResultTtlInSeconds"]

    assert CACHE_SECONDS + gateway_seconds <= 60


def test_all_callers_together_are_throttled(expanded):
    (of_every_route,) = expanded.the("AWS::ApiGateway::Stage")["MethodSettings"]

    assert (of_every_route["ResourcePath"], of_every_route["HttpMethod"]) == ("/*", "*")
    assert 0 < of_every_route["ThrottlingRateLimit"] <= of_every_route["ThrottlingBurstLimit"]


def test_functions_behind_the_api_end_before_it_gives_up(expanded):
    timeouts = {step: expanded.functions()[step]["Timeout"] for step in ("api", "authorize")}

    assert all(seconds <= MAX_INTEGRATION_SECONDS for seconds in timeouts.values()), timeouts


def test_largest_upload_fits_an_invocation():
    """The local engine has no such limit. 100 KB are for the event around the body."""
    assert (MAX_UPLOAD_BYTES + 2) // 3 * 4 + 100_000 <= MAX_PAYLOAD_BYTES


def test_gateway_response_types_exist(expanded):
    assert set(gateway_responses(expanded)) <= RESPONSE_TYPES


def test_every_refusal_of_the_gateway_is_json_with_code_and_message(expanded):
    for kind, response in gateway_responses(expanded).items():
        assert list(response["responseTemplates"]) == ["application/json"], kind
        answer = said_by(response)
        assert answer.keys() == {"code", "message"}, kind
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", answer["code"]), kind
        assert isinstance(answer["message"], str), kind
        assert "$" not in answer["message"], f"{kind}: a variable that was not filled in"


def test_what_is_not_named_falls_back_to_json_too(expanded):
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= gateway_responses(expanded).keys()


def test_default_refusal_passes_the_gateway_s_own_reason_on(expanded):
    assert said_by(gateway_responses(expanded)["DEFAULT_4XX"])["message"] == 'Invalid "x"'


def test_statuses_and_codes_of_refusals(expanded):
    answers = {
        kind: (response.get("statusCode"), said_by(response)["code"])
        for kind, response in gateway_responses(expanded).items()
    }

    assert answers == {
        "UNAUTHORIZED": ("401", "unauthorized"),
        "ACCESS_DENIED": ("403", "access_denied"),
        "MISSING_AUTHENTICATION_TOKEN": ("404", "route_not_found"),
        "REQUEST_TOO_LARGE": (str(errors.SheetTooLarge.http_status), errors.SheetTooLarge.code),
        "THROTTLED": ("429", "throttled"),
        "DEFAULT_4XX": (None, errors.RequestError.code),
        "DEFAULT_5XX": (None, errors.ImageJobsError.code),
    }


def test_stage_is_the_one_that_the_api_url_names(expanded_with_defaults):
    (stage,) = expanded_with_defaults.of_type("AWS::ApiGateway::Stage").values()

    assert logical_id(stage["RestApiId"]) == "Api"
    assert expanded_with_defaults.outputs["ApiUrl"].endswith(f".amazonaws.com/{stage['StageName']}")

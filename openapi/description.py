"""OpenAPI 3.1 of the API, from its handlers: their routes, return types, docstrings, and the parameters they name."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from imagejobs import answers, errors
from imagejobs.http import Answer, Parameter
from openapi import texts
from openapi.docstrings import Docstring, read_docstring
from openapi.examples import ANSWERS, REFUSALS, REQUEST_ID, REQUESTS
from openapi.forms import FORMS
from openapi.samples import samples
from openapi.schemas import Schema, Schemas

HANDLERS = Path(__file__).parents[1] / "functions" / "api" / "app.py"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the API, as its handler says it.

    Attributes:
        method: In lower case.
        path: With `{request_id}` where the job's id goes.
        handler: The function.
        tag: The part of the description that it stands in.
        anonymous: Whether it takes no token.
    """

    method: str
    path: str
    handler: FunctionType
    tag: str
    anonymous: bool

    @property
    def name(self) -> str:
        """What the operation is called."""
        return self.handler.__name__

    @property
    def docstring(self) -> Docstring:
        """The handler's."""
        return read_docstring(self.handler)

    @property
    def of_a_job(self) -> bool:
        """Whether the path names a job."""
        return "{request_id}" in self.path

    @property
    def parameters(self) -> list[Parameter]:
        """Those that the handler's code names."""
        named = [self.handler.__globals__.get(name) for name in self.handler.__code__.co_names]
        return [each for each in named if isinstance(each, Parameter)]

    @property
    def answers(self) -> list[tuple[type[Answer[Any]], Any]]:
        """The kinds of answers that the handler may return, each with the type of its content."""
        returned = get_type_hints(self.handler, include_extras=True)["return"]
        kinds = [returned] if _is_answer(returned) else get_args(returned)
        return [(get_origin(kind) or kind, _content_type(kind)) for kind in kinds]

    @property
    def refusals(self) -> list[type[errors.ImageJobsError]]:
        """The errors under `Raises` of the handler's docstring, and those that follow from the route."""
        raised = [name for names in self.docstring.sections.get("Raises", {}) for name in names.split(", ")]
        everywhere = [] if self.anonymous else [errors.RateExceeded]
        of_jobs = [errors.RequestIdInvalid, errors.JobNotFound] if self.of_a_job else []
        of_parameters = [errors.RequestInvalid] if self.parameters else []
        return [*(getattr(errors, name) for name in raised), *of_parameters, *of_jobs, *everywhere]

    def message(self, error: type[errors.ImageJobsError]) -> str:
        """An example of what the error says here."""
        return _refused(self.parameters[0]) if error is errors.RequestInvalid else REFUSALS[error]


def routes() -> list[Route]:
    """The API's routes, in the order of its parts and of the handlers' code."""
    api = _load_handlers()
    found = [each for each in (*api.app._static_routes, *api.app._dynamic_routes) if each.include_in_schema]
    parts = list(texts.PARTS)
    described = [
        Route(each.method.lower(), each.openapi_path, each.func, each.tags[0], each.openapi_path in api.ANONYMOUS)
        for each in found
    ]
    return sorted(described, key=lambda route: (parts.index(route.tag), route.handler.__code__.co_firstlineno))


def describe() -> dict[str, Any]:
    """The whole description, as OpenAPI 3.1."""
    schemas, found = Schemas(), routes()
    schemas.of(answers.Error)
    paths: dict[str, Any] = {}
    for route in found:
        paths.setdefault(route.path, {})[route.method] = _operation(route, found, schemas)
    return {
        "openapi": "3.1.0",
        "info": texts.INFO,
        "servers": texts.SERVERS,
        "security": [{"bearerToken": []}],
        "tags": [{"name": name, "description": text} for name, text in texts.PARTS.items()],
        "paths": paths,
        "webhooks": {"jobEnded": {"post": _webhook(schemas)}},
        "components": {
            "securitySchemes": {"bearerToken": {"type": "http", "scheme": "bearer", "description": texts.TOKEN}},
            "parameters": {"RequestId": _request_id()},
            "responses": _shared_refusals(),
            "schemas": dict(sorted(schemas.named.items())),
        },
    }


def _operation(route: Route, all_routes: Sequence[Route], schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": route.name, "tags": [route.tag], "summary": route.docstring.summary}
    if route.docstring.description:
        described["description"] = route.docstring.description
    if route.anonymous:
        described["security"] = []
    if parameters := [*_job_parameter(route), *map(_parameter, route.parameters)]:
        described["parameters"] = parameters
    if route.name in FORMS:
        described["requestBody"] = _request_body(route.name)
    described["responses"] = _answers(route, all_routes, schemas) | _refusals(route)
    described["x-codeSamples"] = samples(route.method, route.path, described)
    return described


def _job_parameter(route: Route) -> Iterator[dict[str, str]]:
    if route.of_a_job:
        yield {"$ref": "#/components/parameters/RequestId"}


def _request_id() -> dict[str, Any]:
    return {
        "name": "request_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
        "description": "The job, as the answer to its upload names it.",
        "examples": {"job": {"value": REQUEST_ID}},
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = parameter.read.schema()
    if parameter.default is not None:
        is_text = schema["type"] == "string"
        schema["default"] = parameter.default if is_text else parameter.read(parameter.default)
    described = {
        "name": parameter.name,
        "in": parameter.place,
        "required": False,
        "schema": schema,
        "description": parameter.description,
    }
    return described if parameter.example is None else {**described, "example": parameter.example}


def _request_body(name: str) -> dict[str, Any]:
    form = FORMS[name]
    content: dict[str, Any] = {"schema": form.schema()}
    if files := form.files():
        content["encoding"] = files
    content["examples"] = {
        key: {"summary": example.summary, "value": dict(example.fields), **_headers_beside(example.headers)}
        for key, example in REQUESTS[name].items()
    }
    return {"required": form.required, "content": dict.fromkeys(form.media_types, content)}


def _headers_beside(headers: Mapping[str, str]) -> dict[str, Any]:
    return {"x-headers": dict(headers)} if headers else {}


def _answers(route: Route, all_routes: Sequence[Route], schemas: Schemas) -> dict[str, Any]:
    responses = {}
    for kind, content in route.answers:
        described: dict[str, Any] = {"description": _one_or_the_other(kind, content)}
        if kind.described_headers:
            described["headers"] = {
                name: {"schema": {"type": "string", "format": "uri"}, "description": text}
                for name, text in kind.described_headers.items()
            }
        media_type = kind.media_type.partition(";")[0]
        described["content"] = {media_type: {"schema": schemas.of(content), **_examples_of(content)}}
        if links := _links(content, route, all_routes):
            described["links"] = links
        responses[str(int(kind.http_status))] = described
    return responses


def _one_or_the_other(kind: type[Answer[Any]], content: Any) -> str:  # noqa: ANN401 any type
    """What the content is, if it has a shape of its own; what the kind of answer is, else."""
    return read_docstring(content if is_typeddict(content) else kind).summary


def _examples_of(content: Any) -> dict[str, Any]:  # noqa: ANN401 any type
    if not is_typeddict(content):
        return {}
    return {"examples": {name: {"value": example} for name, example in ANSWERS[content].items()}}


def _links(content: Any, route: Route, all_routes: Sequence[Route]) -> dict[str, Any]:  # noqa: ANN401 any type
    """From the answer that makes a job to what can be asked of it."""
    if route.of_a_job or not is_typeddict(content) or "request_id" not in content.__annotations__:
        return {}
    parameters = {"request_id": "$response.body#/request_id"}
    return {each.name: {"operationId": each.name, "parameters": parameters} for each in all_routes if each.of_a_job}


def _refusals(route: Route) -> dict[str, Any]:
    by_status: dict[int, list[type[errors.ImageJobsError]]] = {}
    for error in route.refusals:
        by_status.setdefault(_http_status(error), []).append(error)
    shared = {"500": {"$ref": "#/components/responses/InternalError"}}
    if not route.anonymous:
        shared["401"] = {"$ref": "#/components/responses/Unauthorized"}
    described = {str(status): _refusal(route, found) for status, found in by_status.items()} | shared
    return dict(sorted(described.items()))


def _http_status(error: type[errors.ImageJobsError]) -> int:
    """`UrlRefused` is an image's error; of a webhook's URL, the caller's."""
    return error.http_status if issubclass(error, errors.RequestError) else HTTPStatus.BAD_REQUEST


def _refusal(route: Route, found: Sequence[type[errors.ImageJobsError]]) -> dict[str, Any]:
    lines = [f"- `{error.code}`: {read_docstring(error).summary}" for error in found]
    said = {error.code: {"code": error.code, "message": route.message(error)} for error in found}
    described = _error_response("\n".join(lines), said)
    waits = [issubclass(error, errors.LimitExceeded | errors.ReportNotReady) for error in found]
    if any(waits):
        text = "Seconds until it is worth another try."
        retry_after = {"required": all(waits), "schema": {"type": "integer"}, "description": text}
        described["headers"] = {"Retry-After": retry_after}
    return described


def _error_response(description: str, said: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    examples = {code: {"value": dict(content)} for code, content in said.items()}
    schema: Schema = {"$ref": "#/components/schemas/Error"}
    return {"description": description, "content": {JSON: {"schema": schema, "examples": examples}}}


def _shared_refusals() -> dict[str, Any]:
    code = errors.ImageJobsError.code
    failed = {code: {"code": code, "message": REFUSALS[errors.ImageJobsError]}}
    return {
        "Unauthorized": _error_response(f"- `unauthorized`: {texts.UNAUTHORIZED}", {"unauthorized": texts.NO_TOKEN}),
        "InternalError": _error_response(f"- `{code}`: {texts.INTERNAL_ERROR}", failed),
    }


def _webhook(schemas: Schemas) -> dict[str, Any]:
    content = {"schema": schemas.of(answers.JobEnded), **_examples_of(answers.JobEnded)}
    return {
        "operationId": "jobEnded",
        "summary": "A job has ended.",
        "description": texts.WEBHOOK,
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, **told}
            for name, told in texts.WEBHOOK_HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {JSON: content}},
        "responses": texts.WEBHOOK_RESPONSES,
    }


def _refused(parameter: Parameter) -> str:
    """What a value says that no parameter takes: an empty one."""
    try:
        parameter.value_of("")
    except errors.RequestInvalid as refusal:
        return refusal.message
    raise ValueError(f"The parameter {parameter.name} may be empty.")


def _is_answer(kind: Any) -> bool:  # noqa: ANN401 any type
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Answer)


def _content_type(kind: Any) -> Any:  # noqa: ANN401 any type
    """`JobRetried` of `Accepted[JobRetried]`, and `Link` of `SeeOther`, which is an `Answer[Link]`."""
    if arguments := get_args(kind):
        return arguments[0]
    return next(get_args(base)[0] for base in kind.__orig_bases__ if _is_answer(base))


def _load_handlers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("function_api", HANDLERS)
    if spec is None or spec.loader is None:
        raise ImportError(f"{HANDLERS} is no module.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resolved(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node itself, or the one that its local `$ref` names."""
    while "$ref" in node:
        target: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node

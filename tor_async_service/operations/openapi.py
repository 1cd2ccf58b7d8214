"""`/_openapi`: the service as an OpenAPI document, made of its routes, its handlers and their types.

https://spec.openapis.org/oas/v3.1.1.html
"""

import dataclasses
import functools
import http
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, get_type_hints

import msgspec

from tor_async_couchdb.model import Model
from tor_async_service.http import pages, problems
from tor_async_service.http.answers import Answer, Parameter, answers, answers_of, parameters_of, refusals_of
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.http.problems import Problem
from tor_async_service.operations.handler_code import Shown, shown_by

_VERSION = "3.1.1"
_METHODS = ("get", "post", "put", "patch", "delete")
_READS = ("get",)
_NOT_MODIFIED = 304
_REF = "#/components/schemas/{name}"

# A route is a path with a group for each parameter. A part that may be missing, `(?:…)?`, is left out.
_TOKEN = re.compile(
    r"\(\?:[^()]*\)\?|\((?P<group>[^()?][^()]*)\)|\\(?P<escaped>\W)|(?P<literal>[\w/~!@%&=:;,'-])"
)

# What can go wrong in any request, in one with a body, and in one that writes: see the table of problems.
_ALWAYS = (500, 503)
_WITH_A_BODY = (400, 413, 415)
_WRITING = (403, 409, 410, 413, 502)

_INTEGER = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_HEADERS: Mapping[str, dict[str, Any]] = {
    "Conflict-Count": {"description": "How many writes of this request lost a race.", "schema": _INTEGER},
    "Link": {"description": "The next page (RFC 8288), unless this is the last one.", "schema": _TEXT},
    "Location": {"description": "The path of what was created.", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait before the next try.", "schema": _INTEGER},
    "Tampered-Count": {"description": "How many documents were tampered with.", "schema": _INTEGER},
}

_PAGING: Mapping[str, Parameter] = {
    "limit": Parameter(
        Annotated[int, msgspec.Meta(ge=1, le=pages.MAX_PAGE_SIZE)],
        "Asks for a page of so many; without it the answer has all.",
    ),
    "start": Parameter(
        Annotated[str, msgspec.Meta(pattern=pages.CURSOR_PATTERN)],
        "Where the page starts: taken from the link to it.",
    ),
}

Routes = Sequence[tuple[str, type[ServiceHandler]]]


class ProblemDetails(msgspec.Struct):
    """Problem details (RFC 9457): `detail` is for people, `type` for programs, `request_id` for the log."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""


class OpenAPIHandler(ServiceHandler):
    """The service, described for programs."""

    @answers(200, dict[str, Any])
    async def get(self) -> None:
        """The OpenAPI document of the service."""
        self.write(self.service.openapi())


def openapi_document(
    routes: Routes, *, title: str, version: str, own_problems: Mapping[type[Exception], Problem]
) -> dict[str, Any]:
    """The OpenAPI document of a service. Routes that are more than a path with parameters are left out."""
    operations = [*_operations(routes, {problem.status for problem in own_problems.values()})]
    schemas = _Schemas([ProblemDetails, *(each for operation in operations for each in operation.types())])
    details = problems.details_by_status(own_problems)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        details |= {status: ["The detail says why."] for status in operation.problem_statuses - {*details}}
        paths.setdefault(operation.path, {})[operation.name] = operation.described(schemas)
    return {
        "openapi": _VERSION,
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "headers": _HEADERS,
            "responses": {
                _problem_name(status): _problem_response(status, each, schemas)
                for status, each in sorted(details.items())
            },
        },
    }


class _Schemas:
    """The schemas of types. Those of structures are `named`, and the others refer to them."""

    def __init__(self, types: Sequence[Any]) -> None:
        unique = [*dict.fromkeys(types)]
        schemas, named = msgspec.json.schema_components(unique, ref_template=_REF)
        self._schemas = dict(zip(unique, map(_portable, schemas), strict=True))
        self.named = _portable(named)

    def of(self, any_type: Any) -> Any:
        """The schema of one of the types."""
        return self._schemas[any_type]


def _portable(schema: Any) -> Any:
    """A schema with the ends of its patterns in the form that JSON schema knows (ECMA-262)."""
    if isinstance(schema, dict):
        return {
            name: re.sub(r"\\[AZ]", lambda found: "^" if found[0] == r"\A" else "$", value)
            if name == "pattern" and isinstance(value, str)
            else _portable(value)
            for name, value in schema.items()
        }
    return [_portable(each) for each in schema] if isinstance(schema, list | tuple) else schema


@functools.cache
def representation_type(model: type[Model]) -> Any:
    """The type of what clients see of a model; any object if the model decides that by code of its own."""
    if model.representation is not Model.representation:
        return Annotated[dict[str, Any], msgspec.Meta(description=_first_line(model.representation.__doc__))]
    hints = get_type_hints(model, include_extras=True)
    fields = [(name, hints[name]) for name in model.shown_names]
    return msgspec.defstruct(model.__name__, fields, namespace={"__doc__": model.__doc__})


@dataclasses.dataclass(frozen=True, slots=True)
class _Operation:
    """A method of a handler at a path."""

    path: str
    name: str
    id: str
    summary: str
    in_path: Mapping[str, str]  # the regular expressions of the parameters
    method: Callable[..., Any]
    helpers: Sequence[Callable[..., Any]]  # methods of the handler that the method calls
    shown: Shown
    own_statuses: frozenset[int]

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Those in the query string and in headers."""
        found = dict(_PAGING) if self.shown.writes == "write_models" else {}
        for method in (*self.helpers, self.method):
            found |= parameters_of(method)
        return found

    @property
    def answers(self) -> Mapping[int, Answer]:
        """The successes, and those failures that are no problem documents."""
        return answers_of(self.method) or {**self._shown_answers, **self._answers_of_helpers}

    @property
    def _shown_answers(self) -> Mapping[int, Answer]:
        model = Any if self.shown.model is None else representation_type(self.shown.model)
        match self.shown.writes:
            case "write_model":
                statuses = [201] if self.shown.creates else []
                statuses += [] if self.shown.only_creates else [200]
                return {status: Answer(model) for status in statuses}
            case "write_models":
                return {200: Answer(list[model])}  # type: ignore[valid-type]  # mypy takes it for a variable
            case None:
                return {self.shown.status: Answer()}
        return {200: Answer(Any)}

    @property
    def _answers_of_helpers(self) -> Mapping[int, Answer]:
        return {
            status: answer
            for helper in self.helpers
            for status, answer in answers_of(helper).items()
            if self.name in _READS or status != _NOT_MODIFIED
        }

    @property
    def problem_statuses(self) -> set[int]:
        """The statuses of the problem documents."""
        statuses = {*_ALWAYS, *self.own_statuses, *self.shown.refusals}
        for method in (*self.helpers, self.method):
            statuses.update(refusals_of(method))
        if self.parameters:
            statuses.add(400)
        if self.in_path:
            statuses.add(404)
        if self.shown.model is not None:
            statuses.add(502)
        if self.shown.body is not None:
            statuses.update(_WITH_A_BODY)
        if self.name not in _READS:
            statuses.update(_WRITING)
        return statuses - {*self.answers}

    def types(self) -> Iterator[Any]:
        """The types whose schemas it needs."""
        yield from (parameter.type for parameter in self.parameters.values())
        yield from (answer.body for answer in self.answers.values() if answer.body is not None)
        if self.shown.body is not None:
            yield self.shown.body

    def described(self, schemas: _Schemas) -> dict[str, Any]:
        """The operation object."""
        of_path = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": f"^{group}$"},
            }
            for name, group in self.in_path.items()
        ]
        others = [
            {
                "name": name,
                "in": parameter.place,
                "required": parameter.is_required,
                "description": parameter.description,
                "schema": schemas.of(parameter.type),
            }
            for name, parameter in self.parameters.items()
        ]
        success = {
            str(status): self._response(status, each, schemas) for status, each in self.answers.items()
        }
        refusal = {
            str(status): {"$ref": f"#/components/responses/{_problem_name(status)}"}
            for status in sorted(self.problem_statuses)
        }
        described: dict[str, Any] = {"operationId": self.id, "summary": self.summary}
        if of_path or others:
            described["parameters"] = of_path + others
        if self.shown.body is not None:
            content = {"application/json": {"schema": schemas.of(self.shown.body)}}
            described["requestBody"] = {"required": True, "content": content}
        return described | {"responses": success | refusal}

    def _response(self, status: int, answer: Answer, schemas: _Schemas) -> dict[str, Any]:
        writes = self.shown.writes
        names = [] if writes in ("write_json", "write") else ["Conflict-Count", "Tampered-Count"]
        names += ["Location"] if status == 201 else []
        names += ["Link"] if writes == "write_models" else []
        response: dict[str, Any] = {"description": http.HTTPStatus(status).phrase}
        if names:
            response["headers"] = _headers(names)
        if answer.body is not None:
            json, *others = answer.media_types
            content = {json: {"schema": schemas.of(answer.body)}}
            response["content"] = content | {media_type: {"schema": _TEXT} for media_type in others}
        return response


def _operations(routes: Routes, own_statuses: set[int]) -> Iterator[_Operation]:
    ids: set[str] = set()
    for route, handler in routes:
        found = path_of(route)
        if found is None:
            continue
        path, groups = found
        for name in _METHODS:
            method = getattr(handler, name)
            if method is getattr(ServiceHandler, name):
                continue
            names = [*inspect.signature(method).parameters][1 : 1 + len(groups)]
            id_ = f"{name}{handler.__name__.removesuffix('Handler')}"
            while id_ in ids:
                id_ += "_"
            ids.add(id_)
            shown = shown_by(method)
            yield _Operation(
                path=path.format(*(f"{{{each}}}" for each in names)),
                name=name,
                id=id_,
                summary=_first_line(method.__doc__ or handler.__doc__),
                in_path=dict(zip(names, groups, strict=True)),
                method=method,
                helpers=[getattr(handler, helper) for helper in shown.helpers if hasattr(handler, helper)],
                shown=shown,
                own_statuses=frozenset(own_statuses),
            )


def path_of(route: str) -> tuple[str, list[str]] | None:
    """The path of a route, with `{}` for each parameter, and the regular expressions of these.

    None if the route is another kind of regular expression.
    """
    path, groups, position = "", [], 0
    while position < len(route):
        token = _TOKEN.match(route, position)
        if token is None:
            return None
        if token["group"] is not None:
            groups.append(token["group"])
            path += "{}"
        path += token["escaped"] or token["literal"] or ""
        position = token.end()
    return path, groups


def _problem_name(status: int) -> str:
    return f"Problem{status}"


def _problem_response(status: int, details: Sequence[str], schemas: _Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": "\n".join(f"- {detail}" for detail in details),
        "content": {problems.CONTENT_TYPE: {"schema": schemas.of(ProblemDetails)}},
    }
    return response | {"headers": _headers(["Retry-After"])} if status == 503 else response


def _headers(names: Sequence[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]

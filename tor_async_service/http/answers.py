"""What a handler's method says about itself where its code does not show it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

F = TypeVar("F", bound=Callable[..., Any])


class Link(msgspec.Struct):
    """A link (RFC 8288)."""

    href: str


class Links(msgspec.Struct):
    """The links of an answer; `self` is what was asked for."""

    self_: Link = msgspec.field(name="self")


JSON = "application/json"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """An answer: `body` is a type that msgspec can make a JSON schema of, None if there is no body."""

    body: Any = None
    media_types: Sequence[str] = (JSON,)


def answers(status: int, body: Any = None, *, media_types: Sequence[str] = (JSON,)) -> Callable[[F], F]:
    """Says for `/_openapi` what a method answers: a JSON `body` of this type, or another of `media_types`.

    It is not needed for models, which the code shows; see `operations.handler_code`.
    """

    def declare(method: F) -> F:
        method.answers = {**answers_of(method), status: Answer(body, media_types)}  # type: ignore[attr-defined]
        return method

    return declare


def answers_of(method: Callable[..., Any]) -> Mapping[int, Answer]:
    """What a method says that it answers, by the status."""
    declared: Mapping[int, Answer] = getattr(method, "answers", {})
    return declared


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the query string or in a header; its type is one that msgspec knows."""

    type: Any
    description: str
    place: Literal["query", "header"] = "query"
    is_required: bool = False


def takes(name: str, parameter: Parameter) -> Callable[[F], F]:
    """Says for `/_openapi` that a method takes a parameter.

    On a method of a base class it says so of all methods that call it.
    """

    def declare(method: F) -> F:
        method.parameters = {**parameters_of(method), name: parameter}  # type: ignore[attr-defined]
        return method

    return declare


def parameters_of(method: Callable[..., Any]) -> Mapping[str, Parameter]:
    """The parameters that a method says it takes, by their names."""
    declared: Mapping[str, Parameter] = getattr(method, "parameters", {})
    return declared


def refuses(*statuses: int) -> Callable[[F], F]:
    """Says for `/_openapi` with which problems a method may answer; see `takes` for a base class."""

    def declare(method: F) -> F:
        method.refusals = statuses  # type: ignore[attr-defined]
        return method

    return declare


def refusals_of(method: Callable[..., Any]) -> Sequence[int]:
    """The statuses of the problems that a method says it may answer with."""
    declared: Sequence[int] = getattr(method, "refusals", ())
    return declared

"""What the code of a handler's method shows: the body that it takes, and the model that it answers with.

So a service need not say it a second time for `/_openapi`. What the code hides, `http.answers` can say.
"""

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tor_async_couchdb.actions.retrieve import BaseAsyncModelRetriever
from tor_async_couchdb.model import Model

_UNKNOWN = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """What a method does with the request and the answer.

    `body` is the type that it gives to `json_body`. `model` is the class of the models that it answers with,
    None if it is not known; it `writes` by one of the chassis' methods, None if it writes nothing, and may
    create what it writes, or not. `status` is the one that it sets, `refusals` are those of the HTTPErrors
    that it raises, and `helpers` the names of the handler's own methods that it calls.
    """

    body: Any = None
    model: type[Model] | None = None
    writes: str | None = None
    creates: bool = False
    only_creates: bool = False
    status: int = 200
    refusals: tuple[int, ...] = ()
    helpers: tuple[str, ...] = dataclasses.field(default=(), compare=False)


_WRITERS = ("write_model", "write_models", "write_json", "write")


def shown_by(method: Callable[..., Any]) -> Shown:
    """What the code of a method shows; nothing if there is no source code."""
    function = inspect.unwrap(method)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return Shown(writes="write_json")
    names = function.__globals__
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    own = {name: call for call in calls if (name := _own_method(call)) is not None}
    body = _value(own["json_body"].args[0], names) if "json_body" in own else None
    models = (model for call in calls for model in _models_of(call, names))
    writing = [call for call in calls if _own_method(call) == "write_model"]
    creating = [call for call in writing if any(keyword.arg == "created_at" for keyword in call.keywords)]
    return Shown(
        body=None if body is _UNKNOWN else body,
        model=next(models, None),
        writes=next((writer for writer in _WRITERS if writer in own), None),
        creates=bool(creating),
        only_creates=bool(creating) and creating == writing,
        status=_status_set_by(own["set_status"]) if "set_status" in own else 200,
        refusals=tuple(_statuses(calls)),
        helpers=tuple(own),
    )


def _own_method(call: ast.Call) -> str | None:
    """The name of the handler's own method that is called."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return None


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """What a name, or an attribute of a module, stands for."""
    match node:
        case ast.Name(name):
            return names.get(name, _UNKNOWN)
        case ast.Attribute(owner, name):
            return getattr(_value(owner, names), name, _UNKNOWN)
    return _UNKNOWN


def _models_of(call: ast.Call, names: Mapping[str, Any]) -> Iterator[type[Model]]:
    """The class of models that a call of an action gives: `AsyncFruitUpdater(…).update()`, or a retriever."""
    action = _value(call.func, names)
    if isinstance(action, type) and issubclass(action, BaseAsyncModelRetriever):
        yield action.model_class
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
        method = getattr(_value(call.func.value.func, names), call.func.attr, None)
        yield from _models_in(_result_type(method))


def _result_type(method: Any) -> Any:
    try:
        return typing.get_type_hints(method).get("return") if callable(method) else None
    except (NameError, TypeError):  # a name that only type checkers know
        return None


def _models_in(hint: Any) -> Iterator[type[Model]]:
    if isinstance(hint, type) and issubclass(hint, Model):
        yield hint
    for part in typing.get_args(hint):
        yield from _models_in(part)


def _status_set_by(call: ast.Call) -> int:
    match call.args:
        case [ast.Constant(value=int(status)), *_]:
            return status
    return 200


def _statuses(calls: list[ast.Call]) -> Iterator[int]:
    for call in calls:
        match call:
            case ast.Call(
                func=ast.Attribute(attr="HTTPError") | ast.Name(id="HTTPError"),
                args=[ast.Constant(value=int(status)), *_],
            ):
                yield status

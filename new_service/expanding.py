"""Puts the named properties in the place of a fruit's color: one where the samples have one, or several.

Where Python has a list of something, such as fields, parameters, arguments or imported names, the member that
is the color becomes one for each property. All other names are left to renaming.py.
"""

import ast
import re
from collections.abc import Iterator, Sequence

from new_service.properties import Property
from new_service.source import Source, Span, edited
from new_service.words import shielded

Function = ast.FunctionDef | ast.AsyncFunctionDef


def expanded(text: str, properties: Sequence[Property]) -> str:
    """A sample's module with the properties; if none is named, it keeps its color."""
    if not properties:
        return text
    if len(properties) > 1:
        text = _with_bodies(text)
    if any(declared.is_encrypted for declared in properties):
        text = _protected(text)
    source = Source(text)
    edits = [(source.span(node), _for_each(source, node, properties)) for node in _members(source.tree)]
    return edited(text, edits)


def _members(tree: ast.AST) -> Iterator[ast.AST]:
    """The members of lists that are the color, and the type that is named Color."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg="color") | ast.keyword(arg="color") | ast.alias(name="Color"):
                yield node
            case ast.AnnAssign(target=ast.Name(id="color")) | ast.Assign(targets=[ast.Name(id="Color")]):
                yield node
            case ast.Tuple(elts=members) | ast.List(elts=members) | ast.Set(elts=members):
                yield from (
                    member
                    for member in members
                    if isinstance(member, ast.Constant) and member.value == "color"
                )
            case ast.Call(args=arguments):
                yield from (argument for argument in arguments if _is_color(argument))


def _is_color(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="color") | ast.Attribute(attr="color"):
            return True
    return False


def _for_each(source: Source, node: ast.AST, properties: Sequence[Property]) -> str:
    text = source.of(node)
    if isinstance(node, ast.Assign):
        types = ((shielded(declared.word.camel), declared.type.python) for declared in properties)
        return "\n".join(f"{name} = {python}" for name, python in types)
    separator = f"\n{source.indentation(node)}" if isinstance(node, ast.AnnAssign) else ", "
    return separator.join(_for_one(text, declared) for declared in properties)


def _for_one(text: str, declared: Property) -> str:
    type_name = shielded(declared.word.camel)
    if declared.is_encrypted and "PUBLIC" in text:
        text = text.replace("PUBLIC", "ENCRYPTED")
        type_name = f"{type_name} | None"  # it reads as None when its data key is deleted
    text = re.sub(r"\bColor\b", type_name, text)
    return re.sub(r"\bcolor\b", shielded(declared.name), text)


def _with_bodies(text: str) -> str:
    """The module with a name for each request's body, where it takes the color from the body at once."""
    source = Source(text)
    edits: list[tuple[Span, str]] = []
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            for statement in node.body:
                edits += _with_body(source, node, statement)
    return edited(text, edits)


def _with_body(source: Source, function: Function, statement: ast.stmt) -> Iterator[tuple[Span, str]]:
    for taken in ast.walk(statement):
        match taken:
            case ast.Attribute(attr="color", value=ast.Call() as call):
                body = f"body = {source.of(call)}"
                match statement:
                    case ast.Assign(targets=[ast.Name(id="color")], value=value) if value is taken:
                        yield source.span(statement), body
                        yield from _later(source, function, statement)
                    case _:
                        start, _ = source.span(statement)
                        yield (start, start), f"{body}\n{source.indentation(statement)}"
                        yield source.span(taken), "body.color"


def _later(source: Source, function: Function, statement: ast.stmt) -> Iterator[tuple[Span, str]]:
    for later in function.body[function.body.index(statement) + 1 :]:
        for node in ast.walk(later):
            if isinstance(node, ast.Name) and node.id == "color":
                yield source.span(node), "body.color"


def _protected(text: str) -> str:
    """The module with a declaration of how each property of its model is stored, and with a guard."""
    source = Source(text)
    edits: list[tuple[Span, str]] = []
    for node in ast.walk(source.tree):
        match node:
            case ast.ClassDef(body=fields) if is_model(node):
                edits += [
                    (source.span(field.annotation), f"Annotated[{_annotation(source, field)}, PUBLIC]")
                    for field in fields
                    if isinstance(field, ast.AnnAssign)
                ]
            case ast.Assign(targets=[ast.Name(id="Color")]):
                start, _ = source.span(node)
                edits.append(
                    ((start, start), "PUBLIC, ENCRYPTED = Protection.PUBLIC, Protection.ENCRYPTED\n\n")
                )
            case ast.ImportFrom(module="tor_async_couchdb", names=names) if _has_name(names, "Model"):
                _, end = source.span(node)
                edits.append(((end, end), "\nfrom tor_async_couchdb.model.properties import Protection"))
            case ast.ImportFrom(module="tor_async_service", names=names) if _has_name(names, "run"):
                _, end = source.span(node)
                edits.append(((end, end), "\nfrom tor_async_service.couchdb.protecting import PROTECTING"))
            case ast.Call(func=ast.Name(id="run")):
                _, end = source.span(node)
                edits.append(((end - 1, end - 1), ", guard=PROTECTING"))
    return edited(text, edits)


def is_model(node: ast.AST) -> bool:
    """Whether a node is a class that derives from Model."""
    return isinstance(node, ast.ClassDef) and any(
        isinstance(base, ast.Name) and base.id == "Model" for base in node.bases
    )


def _annotation(source: Source, field: ast.AnnAssign) -> str:
    """What the declaration is appended to: the arguments of Annotated, or the type itself."""
    match field.annotation:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=arguments):
            return source.of(arguments)
    return source.of(field.annotation)


def _has_name(names: Sequence[ast.alias], name: str) -> bool:
    return any(alias.name == name for alias in names)

"""Puts the named properties in the place of a fruit's color: one where the samples have one, or several.

Where Python has a list of something, such as fields, parameters, arguments or imported names, the member that
is the color becomes one for each property. All other names are left to renaming.py.
"""

import ast
import re
from collections.abc import Callable, Iterator, Sequence

from new_service.properties import Property
from new_service.source import Source, Span, edited
from new_service.words import shielded

Function = ast.FunctionDef | ast.AsyncFunctionDef


def expanded(text: str, properties: Sequence[Property]) -> str:
    """A sample's module with the properties; if none is named, it keeps its color."""
    if not properties:
        return text
    if len(properties) > 1 or properties[0].is_hashed:
        text = _with_bodies(text)
    if any(declared.protection for declared in properties):
        text = _protected(text, properties)
    source = Source(text)
    types = "\n".join(f"{shielded(declared.word.camel)} = {declared.type.python}" for declared in properties)
    sent, shown = _sent(source), _shown(source)
    edits = []
    for span, separator in _members(source):
        if span in sent:  # by clients: the value itself
            edits.append((span, _for_each(source, span, separator, properties, _value_of)))
        elif span in shown:
            visible = [declared for declared in properties if not declared.is_hashed]
            edits.append((span, _for_each(source, span, separator, visible)))
        else:
            edits.append((span, _for_each(source, span, separator, properties)))
    edits += [(source.span(node), types) for node in source.tree.body if _is_type_of_color(node)]
    return edited(text, edits)


def _is_type_of_color(node: ast.stmt) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id="Color")]):
            return True
    return False


def _members(source: Source) -> Iterator[tuple[Span, str]]:
    """Where the members of lists are that are the color, and what separates the members of each list."""
    for node in ast.walk(source.tree):
        match node:
            case ast.AnnAssign(target=ast.Name(id="color")):
                yield source.span(node), f"\n{source.indentation(node)}"
            case ast.arguments(args=parameters, defaults=defaults):
                yield from _parameters(source, parameters, defaults)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "color":
                        yield (source.span(key)[0], source.span(value)[1]), ", "
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                for name, value in zip(names, values, strict=False):
                    if _is_color(name):
                        yield source.span(name), ", "
                        yield source.span(value), ", "
            case _:
                yield from ((source.span(member), ", ") for member in _simple_members(node))


def _parameters(
    source: Source, parameters: Sequence[ast.arg], defaults: Sequence[ast.expr]
) -> Iterator[tuple[Span, str]]:
    """The parameter that is the color, with its default."""
    first_default = len(parameters) - len(defaults)
    for i, parameter in enumerate(parameters):
        if parameter.arg == "color":
            last = parameter if i < first_default else defaults[i - first_default]
            yield (source.span(parameter)[0], source.span(last)[1]), ", "


def _simple_members(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.keyword(arg="color") | ast.alias(name="Color"):
            yield node
        case ast.Tuple(elts=members) | ast.List(elts=members) | ast.Set(elts=members):
            yield from (
                member for member in members if isinstance(member, ast.Constant) and member.value == "color"
            )
        case ast.Call(args=arguments):
            yield from (argument for argument in arguments if _is_color(argument))


def _is_color(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="color") | ast.Attribute(attr="color"):
            return True
    return False


def _sent(source: Source) -> set[Span]:
    """Where the fields of the bodies are that clients send."""
    return {
        source.span(field)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and "msgspec.Struct" in map(ast.unparse, node.bases)
        for field in node.body
    }


def _shown(source: Source) -> set[Span]:
    """Where names of properties are that clients see, each as a text."""
    return {source.span(node) for node in ast.walk(source.tree) if isinstance(node, ast.Constant)}


def _for_each(
    source: Source,
    span: Span,
    separator: str,
    properties: Sequence[Property],
    for_one: Callable[[str, Property], str] | None = None,
) -> str:
    text = source.text[slice(*span)]
    return separator.join((for_one or _for_one)(text, declared) for declared in properties)


def _value_of(text: str, declared: Property) -> str:
    text = re.sub(r"\bColor\b", shielded(declared.word.camel), text)
    return re.sub(r"\bcolor\b", shielded(declared.name), text)


def _for_one(text: str, declared: Property) -> str:
    if text == "Color":  # what is imported
        return _value_of(text, declared)
    if declared.is_hashed:
        return _hash_of(text, declared)
    if declared.is_encrypted and "PUBLIC" in text:
        text = text.replace("PUBLIC", "ENCRYPTED")
        text = re.sub(r"\bColor\b", "Color | None", text)  # it reads as None when its data key is deleted
    return _value_of(text, declared)


def _hash_of(text: str, declared: Property) -> str:
    """The member for a property whose value only the handlers see: all others have its hash."""
    if text == "body.color":
        name = shielded(declared.name)
        return f'actions.hash_of_{name}(body.{name}, self.settings["protection"])'
    text = re.sub(r"\bColor\b", "str", text.replace("PUBLIC", "HASHED"))
    return re.sub(r"\bcolor\b", shielded(declared.stored_name), text)


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
                if (name := _name_of(taken, statement)) is not None:
                    yield source.span(name), "body"
                    yield source.span(taken), source.of(call)
                    yield from _later(source, function, statement)
                else:
                    start, _ = source.span(statement)
                    yield (start, start), f"body = {source.of(call)}\n{source.indentation(statement)}"
                    yield source.span(taken), "body.color"


def _name_of(value: ast.expr, statement: ast.stmt) -> ast.expr | None:
    """What the statement names `color`, if it names the value so."""
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            pairs = [*zip(names, values, strict=False)]
        case ast.Assign(targets=[name], value=only):
            pairs = [(name, only)]
        case _:
            pairs = []
    return next((name for name, named in pairs if named is value and _is_color(name)), None)


def _later(source: Source, function: Function, statement: ast.stmt) -> Iterator[tuple[Span, str]]:
    for later in function.body[function.body.index(statement) + 1 :]:
        for node in ast.walk(later):
            if isinstance(node, ast.Name) and node.id == "color":
                yield source.span(node), "body.color"


def _protected(text: str, properties: Sequence[Property]) -> str:
    """The module with a declaration of how each property of its model is stored.

    It gets a guard if one is encrypted; hashing.py adds what hashes need.
    """
    source = Source(text)
    used = ["PUBLIC", *dict.fromkeys(each.protection.upper() for each in properties if each.protection)]
    constants = f"{', '.join(used)} = {', '.join(f'Protection.{name}' for name in used)}\n\n"
    has_guard = any(declared.is_encrypted for declared in properties)
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
                edits.append(((start, start), constants))
            case ast.ImportFrom(module="tor_async_couchdb", names=names) if _has_name(names, "Model"):
                _, end = source.span(node)
                edits.append(((end, end), "\nfrom tor_async_couchdb.model.properties import Protection"))
            case ast.ImportFrom(module="tor_async_service", names=names) if has_guard and _has_name(
                names, "run"
            ):
                _, end = source.span(node)
                edits.append(((end, end), "\nfrom tor_async_service.couchdb.protecting import PROTECTING"))
            case ast.Call(func=ast.Name(id="run")) if has_guard:
                _, end = source.span(node)
                edits.append(((end - 1, end - 1), ", guard=PROTECTING"))
    return edited(text, edits)


def is_model(node: ast.AST) -> bool:
    """Whether a node is the class of a model, which names the type of its documents."""
    return isinstance(node, ast.ClassDef) and any(keyword.arg == "tag" for keyword in node.keywords)


def _annotation(source: Source, field: ast.AnnAssign) -> str:
    """What the declaration is appended to: the arguments of Annotated, or the type itself."""
    match field.annotation:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=arguments):
            return source.of(arguments)
    return source.of(field.annotation)


def _has_name(names: Sequence[ast.alias], name: str) -> bool:
    return any(alias.name == name for alias in names)

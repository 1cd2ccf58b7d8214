"""Gives a new service what each of its hashed properties needs: a way to find models by its value.

The pieces are the code in found_by_hash/, under the names of the property and of the model.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from new_service.names import Names
from new_service.properties import Property
from new_service.renaming import Renaming
from new_service.source import Source, Span, edited

_PIECES = Path(__file__).parent / "found_by_hash"
_ACTION, _SERVICE, _VIEW = "async_action.py", "service.py", "fruit_by_color_hash"
_IMPORT = "\nfrom tor_async_couchdb.protection.folder import Protector"
_IMPORTS_OF_SERVICE = f"""{_IMPORT}
from tor_async_service import ServiceHandler
from tor_async_service.couchdb.protecting import PROTECTION"""


def hashing_modules(modules: dict[str, str], names: Names) -> dict[str, str]:
    """The modules, which have the names of the new service already, with what hashed properties need."""
    if not _hashed(names):
        return modules
    return modules | {
        _ACTION: _with_retrievers(modules[_ACTION], names),
        _SERVICE: _with_handlers(modules[_SERVICE], names),
    }


def hashing_views(names: Names) -> dict[str, str]:
    """The design documents of the views that find models by their hashed properties, by their names."""
    text = (_PIECES / f"{_VIEW}.json").read_text()
    return {
        renaming.name(_VIEW): renaming.code(text)
        for renaming in (_renaming(names, declared) for declared in _hashed(names))
    }


def hashing_path(names: Names, declared: Property) -> str:
    """Where clients find models by a hashed property."""
    return f"/v1.0/{names.model.several.snake}/by_{declared.name}"


def _hashed(names: Names) -> list[Property]:
    return [declared for declared in names.properties if declared.is_hashed]


def _renaming(names: Names, declared: Property) -> Renaming:
    return Renaming(names.model, declared.word, declared.word)


def _pieces(file_name: str, names: Names, declared: Property) -> str:
    """The classes and functions of a file in found_by_hash/, for a property."""
    source = Source((_PIECES / file_name).read_text())
    nodes = [node for node in source.tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return "".join(f"{_renaming(names, declared).python(source.of(node))}\n\n\n" for node in nodes)


def _with_retrievers(text: str, names: Names) -> str:
    source = Source(text)
    pieces = ""
    for declared in _hashed(names):
        value = (declared.type.text or "{}").format(declared.name)
        piece = _pieces(_ACTION, names, declared)
        pieces += piece.replace(f'"{declared.name}", {declared.name})', f'"{declared.name}", {value})')
    pieces = pieces.replace("(AsyncModelsRetriever[", f"({_base_of_retriever(source, names)}[")
    return edited(text, [_after_import(source, "tor_async_couchdb", _IMPORT)]) + f"\n\n{pieces}"


def _base_of_retriever(source: Source, names: Names) -> str:
    """What the sample retrieves several models with: where conflicts are merged, it merges them."""
    name = f"Async{names.model.several.camel}Retriever"
    return next(
        ast.unparse(node.bases[0].value)
        for node in source.tree.body
        if isinstance(node, ast.ClassDef) and node.name == name and isinstance(node.bases[0], ast.Subscript)
    )


def _with_handlers(text: str, names: Names) -> str:
    source = Source(text)
    edits = [_after_import(source, "tor_async_service", _IMPORTS_OF_SERVICE)]
    for node in ast.walk(source.tree):
        match node:
            case ast.FunctionDef(name="make_app", args=ast.arguments(args=[database, *_])):
                start, _ = source.span(node)
                pieces = "".join(_pieces(_SERVICE, names, declared) for declared in _hashed(names))
                edits.append(((start, start), pieces))
                edits.append(_after(source, database, ", protection: Protector"))
            case ast.Assign(targets=[ast.Name(id="routes")], value=ast.List(elts=[*_, last])):
                edits.append(_after(source, last, "".join(_routes(names))))
            case ast.Call(func=ast.Name(id="ServiceApplication")):
                edits.append(_with_settings(source, node))
            case ast.Call(func=ast.Name(id="run"), args=[_, description, *_]):
                edits.append(_after(source, description, ", PROTECTION"))
    return edited(text, edits)


def _routes(names: Names) -> Iterator[str]:
    for declared in _hashed(names):
        path = hashing_path(names, declared).replace(".", r"\.")
        handler = _renaming(names, declared).name("FruitsByColorHandler")
        yield f', (r"{path}", {handler})'


def _with_settings(source: Source, application: ast.Call) -> tuple[Span, str]:
    for keyword in application.keywords:
        match keyword:
            case ast.keyword(arg="settings", value=ast.Dict(values=[*_, last])):
                return _after(source, last, ', "protection": protection')
    _, end = source.span(application.keywords[-1])
    return (end, end), ', settings={"protection": protection}'


def _after_import(source: Source, module: str, text: str) -> tuple[Span, str]:
    node = next(
        node for node in source.tree.body if isinstance(node, ast.ImportFrom) and node.module == module
    )
    return _after(source, node, text)


def _after(source: Source, node: ast.AST, text: str) -> tuple[Span, str]:
    _, end = source.span(node)
    return (end, end), text

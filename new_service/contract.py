"""The contract test of the new service: tests.py with the bodies and the views of this service."""

import ast
from collections.abc import Mapping, Sequence

from new_service.properties import Property
from new_service.source import Source, edited

# Of a sample that does not meet the contract of all others: where its own begins.
OWN_CONTRACT = '''"""What the service promises, asked of one at $SERVICE_URL: add what is its own."""

import os

import requests

SERVICE_URL = os.environ.get("SERVICE_URL", "http://127.0.0.1:8445")
TIMEOUT_S = 40.0


def test_service_and_its_database_are_well() -> None:
    response = requests.get(f"{SERVICE_URL}/_health?quick=false", timeout=TIMEOUT_S)
    assert response.status_code == 200, response.text
'''


def contract(text: str, properties: Sequence[Property], views: Sequence[str]) -> str:
    """tests.py, whose constants hold what clients of this service send and what its database has."""
    constants = {"VIEWS": f"{{{', '.join(map(repr, sorted(views)))}}}"}
    if properties:
        bodies = [
            {declared.name: declared.type.values[number] for declared in properties}
            for number in range(len(properties[0].type.values))
        ]
        texts = tuple(declared.name for declared in properties if declared.type_name == "str")
        constants |= {
            "BODIES": repr(bodies),
            "WRONG_VALUES": repr({declared.name: declared.type.wrong for declared in properties}),
            "TEXTS": repr(texts),
        }
    return _with_constants(text, constants)


def _with_constants(text: str, constants: Mapping[str, str]) -> str:
    source = Source(text)
    edits = []
    for node in source.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in constants:
                edits.append((source.span(value), constants[name]))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name in constants:
                edits.append((source.span(value), constants[name]))
    return edited(text, edits)

"""The contract test of the new service: tests.py with the bodies and the views of this service."""

import ast
from collections.abc import Iterable, Mapping, Sequence

from new_service.names import Names
from new_service.source import Source, edited

# Of a sample that does not meet the contract of all others: where its own begins.
OWN_CONTRACT = '''"""What the service promises, asked of a running one at $SERVICE_URL: add your own."""

import os

import requests

SERVICE_URL = os.environ.get("SERVICE_URL", "http://127.0.0.1:8445")
TIMEOUT_S = 40.0


def test_service_and_its_database_are_well() -> None:
    response = requests.get(f"{SERVICE_URL}/_health?quick=false", timeout=TIMEOUT_S)
    assert response.status_code == 200, response.text
'''


# What is appended where properties are hashed, under the names of the service.
_FINDING = '''

class TestFinding(FruitTestCase):
    """Fruits are found by values that nobody can read, neither in an answer nor in the database."""

    def found(self, name: str, body: dict[str, Any]) -> list[str]:
        """The ids of the fruits that have the value of the property in this body."""
        response = self.request("POST", f"{FRUITS_URL}/by_{name}", json={name: body[name]})
        self.assertEqual(response.status_code, 200, response.text)
        return [fruit["fruit_id"] for fruit in response.json()]

    def test_fruit_is_found_by_each_hidden_value_that_it_has(self) -> None:
        fruit_id = self.create(FIRST)["fruit_id"]
        for body, other in ((FIRST, SECOND), (SECOND, FIRST)):
            self.update(fruit_id, body)
            for name in HIDDEN:
                with self.subTest(name=name, body=body):
                    self.assertIn(fruit_id, self.found(name, body))
                    self.assertNotIn(fruit_id, self.found(name, other))

    def test_wrong_value_is_refused(self) -> None:
        for name in HIDDEN:
            for value in WRONG_VALUES[name]:
                with self.subTest(name=name, value=value):
                    response = self.request("POST", f"{FRUITS_URL}/by_{name}", json={name: value})
                    self.assert_problem(response, 400)
'''


def contract(text: str, names: Names, views: Sequence[str]) -> str:
    """tests.py, whose constants hold what clients of this service send and what its database has."""
    properties = names.properties
    hidden = {declared.name for declared in properties if declared.is_hashed}
    text = names.renaming.python(text + _FINDING if hidden else text)
    constants = {"VIEWS": _set(views)}
    if properties:
        bodies = [
            {declared.name: declared.type.values[number] for declared in properties}
            for number in range(len(properties[0].type.values))
        ]
        texts = [declared.name for declared in properties if declared.type_name == "str"]
        constants |= {
            "BODIES": repr(bodies),
            "WRONG_VALUES": repr({declared.name: declared.type.wrong for declared in properties}),
            "TEXTS": repr(tuple(name for name in texts if name not in hidden)),
        }
    if hidden:
        constants["HIDDEN"] = _set(hidden)
    return _with_constants(text, constants)


def _set(names: Iterable[str]) -> str:
    return f"{{{', '.join(map(repr, sorted(names)))}}}"


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

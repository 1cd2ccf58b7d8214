import ast

import pytest

from new_service.expanding import expanded
from new_service.properties import parse_property
from new_service.words import unshielded

PROPERTIES = [parse_property("amount:int"), parse_property("background_color:str")]


def same(text: str) -> str:
    """The module in one form, however it is laid out."""
    return ast.unparse(ast.parse(text))


def of(text: str, *properties: str) -> str:
    """The module with the properties."""
    declared = [parse_property(text) for text in properties] or PROPERTIES
    return same(unshielded(expanded(text, declared)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from .model import Color, Fruit", "from .model import Amount, BackgroundColor, Fruit"),
        (
            "def f(self, color: Color): ...",
            "def f(self, amount: Amount, background_color: BackgroundColor):\n    ...",
        ),
        ("f(1, self.color, x)", "f(1, self.amount, self.background_color, x)"),
        ("f(color=color)", "f(amount=amount, background_color=background_color)"),
        ("names = ('a', 'color')", "names = ('a', 'amount', 'background_color')"),
        ("f({'color': self.color})", "f({'amount': self.amount, 'background_color': self.background_color})"),
        (
            "a, color = b, color or 1",
            "(a, amount, background_color) = (b, amount or 1, background_color or 1)",
        ),
        (
            "def f(color: Color=None): ...",
            "def f(amount: Amount=None, background_color: BackgroundColor=None):\n    ...",
        ),
        (
            "class A:\n    color: Color\n    b: int",
            "class A:\n    amount: Amount\n    background_color: BackgroundColor\n    b: int",
        ),
    ],
)
def test_member_of_a_list_becomes_one_for_each_property(before: str, after: str) -> None:
    assert of(before) == same(after)


def test_type_of_color_becomes_those_of_the_properties() -> None:
    assert of("Color = str", "amount:float", "paid_on:date-time") == "Amount = float\nPaidOn = Timestamp"


def test_body_of_a_request_gets_a_name_if_it_has_several_properties() -> None:
    text = "async def put(self):\n    color = self.json_body(B).color\n    await f(color)\n"
    named = (
        "async def put(self):\n    body = self.json_body(B)\n    await f(body.amount, body.background_color)"
    )
    assert of(text) == same(named)
    text = "async def put(self):\n    color, b = self.json_body(B).color, c\n    await f(color, b)\n"
    named = (
        "async def put(self):\n    (body, b) = (self.json_body(B), c)\n"
        "    await f(body.amount, body.background_color, b)"
    )
    assert of(text) == same(named)
    text = "async def post(self):\n    a = await f(self.json_body(B).color, 1)\n"
    named = (
        "async def post(self):\n    body = self.json_body(B)\n"
        "    a = await f(body.amount, body.background_color, 1)"
    )
    assert of(text) == same(named)


def test_encrypted_property_classifies_all_others() -> None:
    text = (
        "class Fruit(Model, tag='a_v1.0'):\n    fruit_id: Annotated[str, Key()]\n"
        "    color: Color\n    on: Time = 0\n"
    )
    assert of(text, "email:str:encrypted") == (
        "class Fruit(Model, tag='a_v1.0'):\n    fruit_id: Annotated[str, Key(), PUBLIC]\n"
        "    email: Annotated[Email | None, ENCRYPTED]\n    on: Annotated[Time, PUBLIC] = 0"
    )


def test_value_of_a_hashed_property_goes_no_further_than_the_handler() -> None:
    body = "class B(msgspec.Struct):\n    color: Color\n"
    assert of(body, "email:str:hashed") == same(body.replace("color", "email").replace("Color", "Email"))
    action = "class A:\n    color: Color\n\n    def f(self, color: Color): g(self.color, color=color)\n"
    hashed = action.replace("Color", "str").replace("color", "email_hash")
    assert of(action, "email:str:hashed") == same(hashed)
    handler = "async def post(self):\n    await f(self.json_body(B).color, 1)\n"
    hashed = (
        "async def post(self):\n    body = self.json_body(B)\n"
        "    await f(actions.hash_of_email(body.email, self.settings['protection']), 1)"
    )
    assert of(handler, "email:str:hashed") == same(hashed)


def test_hashed_property_is_not_among_those_that_clients_see() -> None:
    assert of("names = ('a', 'color')", "amount:int", "email:str:hashed") == "names = ('a', 'amount')"


def test_without_properties_nothing_changes() -> None:
    assert expanded("color: Color", []) == "color: Color"

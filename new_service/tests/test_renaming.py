import pytest

from new_service.renaming import Renaming
from new_service.words import COLOR, Noun, Word


def renaming(model: str, several: str, content: str = "color") -> Renaming:
    noun = Noun(Word.from_camel(model), Word.from_snake(several))
    return Renaming(noun, Word.from_snake(content), Word.from_snake(content))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("AsyncFruitsRetriever", "AsyncOrderLinesRetriever"),
        ("AsyncFruitCensusTaker", "AsyncOrderLineCensusTaker"),
        ("FRUITS_URL", "ORDER_LINES_URL"),
        ("fruit_by_fruit_id", "order_line_by_order_line_id"),
        ("fruit_v1.0", "order_line_v1.0"),
        ("fruits", "order_lines"),
        ("grapefruit", "grapefruit"),
    ],
)
def test_each_form_of_a_name_is_renamed(before: str, after: str) -> None:
    assert renaming("OrderLine", "order_lines").name(before) == after


def test_prose_of_a_module_has_spaces_where_its_code_has_underscores() -> None:
    text = '''"""Fruits, and a fruit's color: see `fruit_id`."""
fruit = "fruit"  # a fruit of all fruits
path = f"/v1.0/fruits/{fruit}"
'''
    assert (
        renaming("OrderLine", "order_lines").python(text)
        == '''"""Order lines, and an order line's color: see `order_line_id`."""
order_line = "order_line"  # an order line of all order lines
path = f"/v1.0/order_lines/{order_line}"
'''
    )


@pytest.mark.parametrize(
    ("model", "before", "after"),
    [
        ("Hour", "A fruit is a fruit.", "An hour is an hour."),
        ("User", "A fruit, an old fruit, a\n# fruit", "A user, an old user, a\n# user"),
        ("Invoice", "a `FruitBody` of a sample", "an `InvoiceBody` of a sample"),
    ],
)
def test_article_fits_the_word_behind_it(model: str, before: str, after: str) -> None:
    assert renaming(model, f"{model.lower()}s").markdown(before) == after


def test_possessive_of_an_irregular_plural_gets_its_s() -> None:
    assert renaming("Person", "people").markdown("all fruits' owners") == "all people's owners"
    assert renaming("Invoice", "invoices").markdown("all fruits' owners") == "all invoices' owners"


def test_color_gives_way_to_the_content_where_it_is_a_word_and_in_the_verb() -> None:
    several = Renaming(Noun(Word(("fruit",)), Word(("fruits",))), Word(("amount",)), Word(("content",)))
    text = '"""Changes the color of a fruit."""\nfruit.change_color(color)\nview = "fruit_by_color"\n'
    renamed = (
        '"""Changes the content of a fruit."""\nfruit.change_content(amount)\nview = "fruit_by_amount"\n'
    )
    assert several.python(text) == renamed


def test_a_thing_is_not_in_another_amount() -> None:
    text = "The fruit in another color, or again in the same one."
    assert renaming("Fruit", "fruits", "amount").markdown(text) == (
        "The fruit with another amount, or again with the same one."
    )
    assert Renaming(Noun(Word(("fruit",)), Word(("fruits",))), COLOR.one, COLOR.one).markdown(text) == text

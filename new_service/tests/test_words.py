import pytest

from new_service.words import Word, shielded, unshielded


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("invoice", "invoices"),
        ("company", "companies"),
        ("day", "days"),
        ("box", "boxes"),
        ("address", "addresses"),
        ("branch", "branches"),
        ("order_line", "order_lines"),
        ("child", "children"),
        ("sales_person", "sales_people"),
        ("analysis", "analyses"),
        ("leaf", "leaves"),
        ("quiz", "quizzes"),
        ("status", "statuses"),
    ],
)
def test_plural_is_that_of_english(one: str, several: str) -> None:
    assert Word.from_snake(one).plural() == Word.from_snake(several)


@pytest.mark.parametrize(("one", "several"), [("series", "serieses"), ("equipment", "equipments")])
def test_plural_differs_from_the_singular(one: str, several: str) -> None:
    assert Word.from_snake(one).plural() == Word.from_snake(several)


@pytest.mark.parametrize(
    "name", ["invoice", "hour", "heir", "x_ray", "unimportant_letter", "usher", "honest_mistake", "egg"]
)
def test_vowel_sound_takes_an(name: str) -> None:
    assert Word.from_snake(name).article == "an"


@pytest.mark.parametrize("name", ["user", "unit", "union", "house", "euro", "one_off", "uuid", "utility"])
def test_consonant_sound_takes_a(name: str) -> None:
    assert Word.from_snake(name).article == "a"


def test_word_of_several_parts_has_all_forms() -> None:
    word = Word.from_camel("OrderLine2")
    assert (word.snake, word.camel, word.prose) == ("order_line2", "OrderLine2", "order line2")


def test_run_of_capitals_is_one_part() -> None:
    assert Word.from_camel("APIKey").parts == ("api", "key")


@pytest.mark.parametrize("name", ["background_color", "ColorCode", "grapefruits", "amount"])
def test_shielded_name_comes_back(name: str) -> None:
    assert unshielded(shielded(name)) == name

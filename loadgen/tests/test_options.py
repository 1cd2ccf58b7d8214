"""The values that loadgen's options take."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from loadgen.options import (
    Hosts,
    Services,
    chosen,
    hosts,
    number_of_fruits,
    pace,
    percentage,
    service_url,
    services,
    writable_file,
)


def test_good_values_are_taken(tmp_path: Path) -> None:
    assert (number_of_fruits("1"), number_of_fruits("500")) == (1, 500)
    assert (percentage("0"), percentage("100")) == (0, 100)
    assert (pace("4"), pace("0.25")) == (4.0, 0.25)
    assert writable_file(str(tmp_path / "new.tsv")) == tmp_path / "new.tsv"
    assert not (tmp_path / "new.tsv").exists()


def test_hosts_are_joined_and_parted_again() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", action=Hosts)
    assert parser.parse_args([]).host is None
    joined = parser.parse_args(["--host", "http://a/", "--host", "http://b"]).host
    assert joined == "http://a/,http://b"
    assert hosts(joined) == ("http://a", "http://b")
    assert hosts(" , ") == ()


def test_services_have_names_of_which_some_are_chosen() -> None:
    known = services("crud/basic=http://127.0.0.1:8445/, b=https://b.example")
    assert known == {"crud/basic": ("http://127.0.0.1:8445",), "b": ("https://b.example",)}
    assert list(chosen(known, None)) == ["crud/basic", "b"]
    assert list(chosen(known, ["b"])) == ["b"]
    for names in (["c"], []):
        with pytest.raises(argparse.ArgumentTypeError, match="crud/basic, b"):
            chosen(known, names)


def test_names_of_the_services_are_the_choices_of_another_option() -> None:
    parser = argparse.ArgumentParser()
    only = parser.add_argument("--only", action="append")
    parser.add_argument("--services", type=services, action=Services, only=only)
    parser.parse_args(["--services", "a=http://a,b=http://b"])
    assert only.choices == ["a", "b"]


@pytest.mark.parametrize("text", ["", "a", "a=", "=http://a", "http://a", "a=http://a,a=http://b", "a=b"])
def test_bad_services_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        services(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:8446",
        "ftp://a",
        "http://",
        "http://a:b",
        "http://a:0",
        "http://a:99999",
        "http://[a",
        "http://a b",
        "http://a?b=c",
        "http://a#b",
        "javascript:alert(1)",
    ],
)
def test_bad_url_is_named(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        service_url(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("option", "text"),
    [(number_of_fruits, text) for text in ("0", "-1", "1.5", "", "x", "²", "10001", "9" * 5000)]
    + [(percentage, text) for text in ("101", "-1", "50%", "", "0.5", "²", "9" * 5000)]
    + [(pace, text) for text in ("0", "0.0", "-1", "1e3", "nan", "", "²", "9" * 5000)],
)
def test_bad_number_is_named(option: Callable[[str], float], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        option(text)
    assert repr(text) in str(caught.value)


def test_file_without_a_folder_and_folder_in_place_of_a_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="there is no folder"):
        writable_file(str(tmp_path / "nowhere" / "x.tsv"))
    with pytest.raises(argparse.ArgumentTypeError, match="is a folder"):
        writable_file(str(tmp_path))

import argparse
import logging

import pytest

from tor_async_couchdb.installer import option_types
from tor_async_couchdb.installer.option_types import UserPassword


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("DEBUG", logging.DEBUG),
        ("info", logging.INFO),
        ("Warning", logging.WARNING),
        ("ERROR", logging.ERROR),
        ("critical", logging.CRITICAL),
        ("FATAL", logging.FATAL),
    ],
)
def test_logging_level_is_accepted_in_any_case(text: str, level: int) -> None:
    assert option_types.logging_level(text) == level


@pytest.mark.parametrize("text", ["", "dave", "10", "NOTSET"])
def test_unknown_logging_level_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="should be one of DEBUG, INFO"):
        option_types.logging_level(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5984",
        "https://couchdb.example.com",
        "HTTP://bindle:80",
        "http://[::1]:5984",
        "https://[2001:db8::7]",
        "http://couch_db:1",
        "http://bindle:65535",
    ],
)
def test_host_is_returned_as_it_is(text: str) -> None:
    assert option_types.scheme_host_port(text) == text


@pytest.mark.parametrize("text", ["http://127.0.0.1:5984/", "https://[::1]/"])
def test_host_loses_its_trailing_slash(text: str) -> None:
    assert option_types.scheme_host_port(text) == text[:-1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dave",
        "None",
        "127.0.0.1:5984",
        "ftp://bindle:21",
        "http://",
        "http:// :5",
        "http://bindle:",
        "http://bindle:0",
        "http://bindle:65536",
        "http://bindle:99999999",
        "http://bindle:5984/database",
        "http://bindle:5984//",
        "http://a b/c?x",
        "http://bindle?x",
        "http://bindle#x",
        "http://dave:secret@bindle:5984",
        " http://bindle:5984",
        "http://bindle:5984\n",
        "http://::1:5984",
        "http://[::1",
    ],
)
def test_anything_but_scheme_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"^required format is http\[s\]://host:port$"):
        option_types.scheme_host_port(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("dave:secret", UserPassword("dave", "secret")), ("dave:a:b", UserPassword("dave", "a:b"))],
)
def test_only_the_password_may_hold_a_colon(text: str, expected: UserPassword) -> None:
    assert option_types.user_colon_password(text) == expected


@pytest.mark.parametrize("text", ["", "dave", ":secret", "dave:", ":"])
def test_incomplete_credentials_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"^required format is 'user:password'$"):
        option_types.user_colon_password(text)


@pytest.mark.parametrize("text", ["dave:s3cret\n", "dave:s3cret\udcff", "da\x00ve:s3cret"])
def test_credentials_that_can_t_be_sent_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"a (username|password) must") as caught:
        option_types.user_colon_password(text)
    assert "s3cret" not in str(caught.value)


def test_password_is_not_in_the_repr() -> None:
    assert "secret" not in repr(option_types.user_colon_password("dave:secret"))


@pytest.mark.parametrize("text", ["true", "T", "yes", "Y", "1", "TRUE"])
def test_every_yes_is_true(text: str) -> None:
    assert option_types.boolean(text) is True


@pytest.mark.parametrize("text", ["false", "F", "no", "N", "0", "False"])
def test_every_no_is_false(text: str) -> None:
    assert option_types.boolean(text) is False


@pytest.mark.parametrize("text", ["", "dave", "on", "2", " true"])
def test_other_text_is_no_boolean(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="should be one of true, false, yes, no, 1 or 0"):
        option_types.boolean(text)


def test_hosts_of_several_nodes_are_accepted() -> None:
    assert option_types.several_hosts("http://a:1") == ["http://a:1"]
    assert option_types.several_hosts("http://a:1/, https://b") == ["http://a:1", "https://b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "required format"),
        ("http://a,", "required format"),
        ("http://a,b", "required format"),
        ("http://a:1,http://u:p@b:1", "required format"),
        ("http://a:1,http://a:1/", "twice"),
    ],
)
def test_wrong_hosts_of_several_nodes_are_refused(text: str, words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=words):
        option_types.several_hosts(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5984",
        "https://[2001:db8::7]",
        "http://proxy/couch",
        "https://proxy:8443/a/b/c",
        "http://[::1]:80/couch-db_1.0~x",
        "HTTP://proxy/%7Ecouch/a+b",
    ],
)
def test_url_of_a_couchdb_may_have_a_path_and_loses_its_trailing_slash(text: str) -> None:
    assert option_types.couchdb_url(text) == text
    assert option_types.couchdb_url(text + "/") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proxy/couch",
        "ftp://proxy/couch",
        "http:///couch",
        "http://proxy//couch",
        "http://proxy/couch//",
        "http://proxy:0/couch",
        "http://proxy/couch?x=1",
        "http://proxy/couch#x",
        "http://proxy/co uch",
        "http://proxy/%zz",
        "http://proxy/couch\n",
        "http://dave:s3cret@proxy/couch",
    ],
)
def test_anything_but_the_url_of_a_couchdb_is_refused(text: str) -> None:
    with pytest.raises(
        argparse.ArgumentTypeError, match=r"^required format is http\[s\]://host:port"
    ) as caught:
        option_types.couchdb_url(text)
    assert "s3cret" not in str(caught.value)

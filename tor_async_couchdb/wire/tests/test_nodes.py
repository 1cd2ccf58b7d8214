"""Which node a document's requests go to."""

import asyncio
import collections

import pytest
import yarl

from tor_async_couchdb.tests.fake_clock import on_a_fake_clock
from tor_async_couchdb.wire.nodes import AVOIDED_FOR_S, Nodes, database_urls, rendezvous_order

NODES = [f"http://{host}:5984/fruits" for host in "abcd"]
IDS = [f"{number:032x}" for number in range(4000)]


def new_nodes(*, count: int = 3) -> Nodes:
    return Nodes([yarl.URL(node) for node in NODES[:count]])


def test_order_is_the_same_in_all_processes_and_releases() -> None:
    assert [
        rendezvous_order(NODES, document_id)[0][7] for document_id in ("x", "y", "z", "", "ü€😀", "\ud800")
    ] == [*"aaabcd"]


def test_order_does_not_depend_on_the_order_of_the_list() -> None:
    for document_id in IDS[:100]:
        assert rendezvous_order(NODES, document_id) == rendezvous_order(NODES[::-1], document_id)


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_nodes_share_the_documents_evenly_in_each_place_of_the_order(place: int) -> None:
    counts = collections.Counter(rendezvous_order(NODES, document_id)[place] for document_id in IDS)
    assert all(900 < counts[node] < 1100 for node in NODES)


def test_without_a_node_only_its_documents_move_each_to_its_next_node() -> None:
    for document_id in IDS:
        order = rendezvous_order(NODES, document_id)
        remaining = [node for node in order if node != NODES[1]]
        assert rendezvous_order([NODES[0], *NODES[2:]], document_id) == remaining


@on_a_fake_clock
async def test_document_goes_to_the_first_node_of_its_order_and_moves_while_that_is_avoided() -> None:
    nodes = new_nodes()
    first, second, _ = rendezvous_order(NODES[:3], "x")
    assert str(nodes.of_document("x")) == first
    nodes.avoid(yarl.URL(first))
    assert str(nodes.of_document("x")) == second
    await asyncio.sleep(AVOIDED_FOR_S - 0.1)
    assert str(nodes.of_document("x")) == second
    await asyncio.sleep(0.1)
    assert str(nodes.of_document("x")) == first


def test_avoided_node_is_the_last_to_be_tried() -> None:
    nodes = new_nodes()
    a, b, c = nodes.urls
    nodes.avoid(a)
    tried = nodes.to_try(a)
    assert set(tried[:2]) == {b, c}
    assert tried[2:] == [a]


@on_a_fake_clock
async def test_only_one_request_tries_a_node_again_until_it_has_answered() -> None:
    nodes = new_nodes()
    a = nodes.urls[0]
    nodes.avoid(a)
    await asyncio.sleep(AVOIDED_FOR_S)
    assert nodes.to_try(a)[0] == a
    assert nodes.to_try(a)[-1] == a
    nodes.trust(a)
    assert nodes.to_try(a)[0] == a
    assert nodes.to_try(a)[0] == a


def test_if_all_nodes_are_avoided_each_is_tried_in_the_usual_order() -> None:
    nodes = new_nodes()
    usual = nodes.to_try(nodes.urls[1])
    for node in nodes.urls:
        nodes.avoid(node)
    assert nodes.to_try(nodes.urls[1]) == usual
    assert str(nodes.of_document("x")) == rendezvous_order(NODES[:3], "x")[0]
    assert nodes.any() in nodes.urls


def test_requests_for_no_document_go_to_each_node_in_turn_but_not_to_one_that_is_avoided() -> None:
    nodes = new_nodes()
    assert {nodes.any() for _ in range(3)} == set(nodes.urls)
    nodes.avoid(nodes.urls[1])
    assert {nodes.any() for _ in range(6)} == {nodes.urls[0], nodes.urls[2]}


def test_single_node_is_used_even_if_it_is_avoided() -> None:
    nodes = new_nodes(count=1)
    nodes.avoid(nodes.urls[0])
    assert nodes.of_document("x") == nodes.any() == nodes.urls[0]


@pytest.mark.parametrize(
    "text",
    ["http://a:1/f,http://b:1/f", " http://a:1/f , http://b:1/f/ ", "http://u:p@a:1/f,http://u:p@b:1/f"],
)
def test_list_of_urls_is_read(text: str) -> None:
    urls = database_urls(text)
    assert [(url.host, url.name) for url in urls] == [("a", "f"), ("b", "f")]
    assert [str(url) for url in Nodes(urls).urls] == ["http://a:1/f", "http://b:1/f"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://a/f,", "one is empty"),
        (",http://a/f", "one is empty"),
        ("http://a/f, ,http://b/f", "one is empty"),
        (",", "one is empty"),
        ("http://a/f,http://b/g", "end with the same name"),
        ("http://a/f,http://b", "a database's URL is"),
        ("http://a/f,b/f", "a database's URL is"),
        ("http://u:s3,cr3t@a/f", "written as %2C"),
        ("http://a/f,http://b/f?x=1", "no query and no fragment"),
        ("http://a/f,http://b/f,http://a/f/", "given twice"),
        ("http://u:s3cr3t@a/f,http://b/f", "same credentials"),
        ("http://u:s3cr3t@a/f,http://u:0th3r@b/f", "same credentials"),
        ("http://u:s3cr3t@a/f,http://v:s3cr3t@b/f", "same credentials"),
    ],
)
def test_list_that_is_wrong_is_refused_without_showing_a_password(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        database_urls(text)
    assert not any(secret in str(caught.value) for secret in ("s3", "cr3t", "0th3r"))


@pytest.mark.parametrize(
    "url",
    [
        "http://h/d\udcff",
        "http://h/\ud800d",
        "http://h/d%00",
        "http://h/d\x01",
        "http://h/d%0A",
        "http://h\x7f/d",
    ],
)
@pytest.mark.parametrize("others", ["", "http://i/d,"])
def test_url_with_characters_that_can_t_be_sent_is_refused_and_names_no_other_database(
    url: str, others: str
) -> None:
    with pytest.raises(ValueError, match="printable characters"):
        database_urls(others + url)

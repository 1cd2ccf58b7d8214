import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from tor_async_service.http import trailers


def request(version: str = "HTTP/1.1", **headers: str) -> HTTPServerRequest:
    return HTTPServerRequest(
        headers=HTTPHeaders(Host="a", **headers), start_line=RequestStartLine("GET", "/", version)
    )


@pytest.mark.parametrize("te", ["trailers", "Trailers", "gzip, trailers", "deflate;q=0.5 , trailers"])
def test_client_that_takes_trailers_says_so(te: str) -> None:
    assert trailers.are_taken(request(TE=te))


@pytest.mark.parametrize("te", ["", "gzip", "trailer"])
def test_other_clients_get_none(te: str) -> None:
    assert not trailers.are_taken(request(TE=te))
    assert not trailers.are_taken(request())


def test_an_older_http_has_none() -> None:
    assert not trailers.are_taken(request("HTTP/1.0", TE="trailers"))


async def test_an_answer_that_is_not_by_http_1_can_have_none() -> None:
    with pytest.raises(TypeError, match="trailer"):
        await trailers.write(request(), {})

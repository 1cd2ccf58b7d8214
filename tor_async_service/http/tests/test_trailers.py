import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from tor_async_service.http import trailers


def request(version: str = "HTTP/1.1", **headers: str) -> HTTPServerRequest:
    return HTTPServerRequest(
        headers=HTTPHeaders(Host="a", **headers), start_line=RequestStartLine("GET", "/", version)
    )


@pytest.mark.parametrize("te", ["trailers", "Trailers", "gzip, trailers", "deflate;q=0.5 , trailers"])
def test_client_asks_for_trailers_by_te(te: str) -> None:
    assert trailers.are_accepted(request(TE=te))


@pytest.mark.parametrize("te", ["", "gzip", "trailer"])
def test_client_that_does_not_ask_for_trailers_gets_none(te: str) -> None:
    assert not trailers.are_accepted(request(TE=te))
    assert not trailers.are_accepted(request())


def test_http_1_0_has_no_trailers() -> None:
    assert not trailers.are_accepted(request("HTTP/1.0", TE="trailers"))


async def test_answer_by_another_protocol_has_no_trailers() -> None:
    with pytest.raises(TypeError, match="trailer"):
        await trailers.write(request(), {})

"""Trailer fields: headers whose values are known only at the end of an answer (RFC 9110, section 6.5)."""

from collections.abc import Mapping

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest


def are_accepted(request: HTTPServerRequest) -> bool:
    """Whether the client accepts trailers (`TE: trailers`).

    Some clients fail on trailers that they don't expect.
    """
    tokens = request.headers.get("TE", "").split(",")
    return request.version == "HTTP/1.1" and "trailers" in [token.strip().lower() for token in tokens]


async def write(request: HTTPServerRequest, fields: Mapping[str, str]) -> None:
    """Ends a chunked answer with these fields. All of it must be flushed before; only `finish` may follow."""
    connection = request.connection
    if not isinstance(connection, HTTP1Connection):
        raise TypeError("only an answer by HTTP/1.1 has trailer fields")
    # Tornado has no call for trailers. Without this it would send them as a chunk, and another last chunk.
    connection._chunking_output = False
    lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
    await connection.write("".join(["0\r\n", *lines, "\r\n"]).encode("ascii"))

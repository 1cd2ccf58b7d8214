"""A real load balancer in front of services: Debian's haproxy, which asks them for their readiness."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

# Debian installs it where only root looks for commands.
PROGRAM = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")

_CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout check 10s
    retries 3
    option redispatch 1
frontend things
    bind fd@{descriptor}
    default_backend services
{up}
    http-request return status 503 if {{ path_beg /up/ }}
backend services
    balance roundrobin
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host services
    http-check expect status 200
    http-after-response set-header Served-By %s
    default-server check inter 100ms rise 1 fall 3
{servers}
"""
_UP = "    http-request return status 200 if {{ path /up/{name} }} {{ srv_is_up(services/{name}) }}"
_SERVER = """\
    server {name} 127.0.0.1:{port}
    use-server {name} if {{ req.hdr(To) {name} }}"""


def reserved_port() -> socket.socket:
    """A port that stays free for a service that is restarted: bound, so that nothing else gets it.

    It does not listen, so the service can listen on it.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


@contextlib.asynccontextmanager
async def balanced(ports: Mapping[str, int], folder: Path) -> AsyncIterator[str]:
    """The URL of haproxy in front of services by their names; each answer says in `Served-By` whose it is.

    A request with the header `To` goes to the service of that name, if it is ready. `/up/NAME` is 200 while
    haproxy takes it for ready, else 503.
    """
    assert PROGRAM is not None
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        configuration = folder / "haproxy.cfg"
        configuration.write_text(
            _CONFIGURATION.format(
                descriptor=listening.fileno(),
                up="\n".join(_UP.format(name=name) for name in ports),
                servers="\n".join(_SERVER.format(name=name, port=port) for name, port in ports.items()),
            )
        )
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "-db", "-q", "-f", configuration, pass_fds=[listening.fileno()]
        )
    try:
        yield url
    finally:
        process.kill()
        await process.wait()

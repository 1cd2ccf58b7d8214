"""The life of a service, which runs as a process."""

import asyncio
import contextlib
import math
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yarl
from aiohttp import web

from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, answered, never_answer
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.tests.processes import ROOT, TIMEOUT_S, Service, running
from tor_async_service.tests.serving import problem_of

SERVICE = "tor_async_service.tests.thing_service"


@pytest.fixture
async def service(couchdb: CouchDBServer, proxy: FaultProxy, documents: Documents) -> AsyncIterator[Service]:
    documents.put_thing("a")
    arguments = ("--port", "0", "--database", proxy.url, "--deadline", "15")
    async with running(SERVICE, *arguments, username=couchdb.username, password=couchdb.password) as service:
        yield service


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_lets_the_request_in_flight_finish_and_the_service_end_with_status_0(
    service: Service, proxy: FaultProxy, documents: Documents, number: signal.Signals
) -> None:
    in_flight, go_on = asyncio.Event(), asyncio.Event()

    async def held_up(request: Request) -> web.StreamResponse:
        in_flight.set()
        await go_on.wait()
        return await request.forward()

    url = await service.url()
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as client:
        async with client.get("/things/a") as response:
            assert response.status == 200
        proxy.inject(held_up, "_bulk_docs")
        changing = asyncio.create_task(client.put("/things/a", json={"key": "a", "count": 7}))
        async with asyncio.timeout(TIMEOUT_S):
            await in_flight.wait()
        service.process.send_signal(number)
        await service.says("Shutting down ...")
        with pytest.raises(aiohttp.ClientConnectorError):
            async with aiohttp.ClientSession() as other:
                await other.get(url)
        go_on.set()
        async with asyncio.timeout(TIMEOUT_S), await changing as response:
            assert response.status == 200
            assert (await response.json())["count"] == 7
    assert await service.status() == 0
    assert not [line for line in service.log if "Traceback" in line], "\n".join(service.log)


async def test_draining_service_is_red_to_a_client_that_is_connected(
    service: Service, proxy: FaultProxy
) -> None:
    url = await service.url()
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as client:
        async with client.get("/_health") as response:
            assert response.status == 200
        proxy.inject(never_answer, "_view")
        async with aiohttp.ClientSession(url) as other:
            waiting = asyncio.create_task(other.get("/things"))
            await wait_until(lambda: any("_view" in request.path for request in proxy.requests))
            service.process.terminate()
            await service.says("Shutting down ...")
            async with client.get("/_health") as response:  # on its open connection
                assert response.status == 503
                assert "draining" in await response.text()
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting


async def test_log_is_utc_on_standard_output_and_has_no_password(proxy: FaultProxy) -> None:
    url = proxy.url.replace("://", "://somebody:s3cr3t@")
    arguments = ("--port", "0", "--database", url, "--log-level", "debug")
    async with running(SERVICE, *arguments) as service:
        async with aiohttp.ClientSession(await service.url()) as client, client.get("/things/a") as response:
            await problem_of(response, 503)
        service.process.terminate()
        assert await service.status() == 0
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (DEBUG|INFO|WARNING|ERROR) \w+ .+"
    assert [line for line in service.log if not re.fullmatch(form, line)] == []
    assert "Basic c29tZWJvZHk6czNjcjN0" in {  # the URL's, because the environment has none
        request.incoming.headers["Authorization"] for request in proxy.requests
    }
    assert any("CouchDB took" in line for line in service.log)
    assert "s3cr3t" not in "\n".join(service.log)


async def test_port_in_use_is_one_line_and_status_1(proxy: FaultProxy) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with running(SERVICE, "--port", str(port), "--database", proxy.url) as service:
            assert await service.status() == 1
    assert service.log == [f"can't listen on 127.0.0.1 port {port}: Address already in use"]


async def test_address_of_another_host_is_one_line_and_status_1(proxy: FaultProxy) -> None:
    async with running(SERVICE, "--ip", "192.0.2.1", "--port", "0", "--database", proxy.url) as service:
        assert await service.status() == 1
    (line,) = service.log
    assert line.startswith("can't listen on 192.0.2.1 port 0: ")


async def test_wrong_option_is_status_2(proxy: FaultProxy) -> None:
    async with running(SERVICE, "--deadline", "soon") as service:
        assert await service.status() == 2
    assert "argument --deadline" in service.log[-1]


async def test_service_starts_without_its_database_and_recovers_with_it(
    couchdb: CouchDBServer, database_url: str, documents: Documents
) -> None:
    documents.put_thing("a")
    proxy = FaultProxy(database_url)
    async with proxy:
        url = proxy.url
    async with running(
        SERVICE, "--port", "0", "--database", url, username=couchdb.username, password=couchdb.password
    ) as service:
        async with aiohttp.ClientSession(await service.url()) as client:
            for _ in range(2):
                async with client.get("/things/a") as response:
                    await problem_of(response, 503)
                    assert response.headers["Retry-After"] == "1"
                async with client.get("/_health?quick=false") as response:
                    assert response.status == 503
                async with proxy:
                    async with client.get("/things/a") as response:
                        assert response.status == 200
                    async with client.get("/_health?quick=false") as response:
                        assert response.status == 200
            proxy.inject(answered(500), times=math.inf)
        service.process.terminate()
        assert await service.status() == 0


async def test_missing_database_is_a_warning_at_start(couchdb: CouchDBServer) -> None:
    url = f"{couchdb.url}/absent"
    arguments = ("--port", "0", "--database", url)
    async with running(SERVICE, *arguments, username=couchdb.username, password=couchdb.password) as service:
        await service.says(f"WARNING run database {url} can't be used: ")
        service.process.terminate()
        assert await service.status() == 0


async def test_database_that_can_be_used_is_no_warning(couchdb: CouchDBServer, database_url: str) -> None:
    arguments = ("--port", "0", "--database", database_url, "--log-level", "debug")
    async with running(SERVICE, *arguments, username=couchdb.username, password=couchdb.password) as service:
        await service.says("CouchDB took")  # the check has ended
        service.process.terminate()
        assert await service.status() == 0
    assert not [line for line in service.log if "WARNING" in line]


async def test_ipv6_address_is_logged_in_brackets() -> None:
    arguments = ("--ip", "::1", "--port", "0", "--database", "http://127.0.0.1:1/absent")
    async with running(SERVICE, *arguments) as service:
        url = await service.url()
        assert url.startswith("http://[::1]:")
        async with aiohttp.ClientSession(url) as client, client.get("/_noop") as response:
            assert response.status == 200


async def test_service_that_gets_many_signals_ends_with_status_0(service: Service) -> None:
    await service.url()
    while service.process.returncode is None:  # until the process is gone, not only until the service ends
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ProcessLookupError):
                # send_signal would reap the process itself, and asyncio would not see its status.
                os.kill(service.process.pid, number)
        await asyncio.sleep(0.001)
    assert await service.status() == 0
    assert not [line for line in service.log if "Traceback" in line], "\n".join(service.log)


async def test_sighup_does_not_end_the_service(service: Service) -> None:
    url = await service.url()
    service.process.send_signal(signal.SIGHUP)
    async with aiohttp.ClientSession(url) as client, client.get("/_noop") as response:
        assert response.status == 200
    service.process.terminate()
    assert await service.status() == 0


async def test_service_without_standard_streams_ends_with_status_0(proxy: FaultProxy) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = f"exec {sys.executable} -m {SERVICE} --port {port} --database {proxy.url} <&- >&- 2>&-"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COUCHDB_")}
    process = await asyncio.create_subprocess_exec("sh", "-c", command, cwd=ROOT, env=environment)
    try:
        async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            while True:
                with contextlib.suppress(aiohttp.ClientConnectorError):
                    async with client.get("/_health?quick=false") as response:
                        assert response.status == 503  # there are no credentials
                        break
                await asyncio.sleep(0.05)
            process.terminate()
            assert await process.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def running_text(text: str, folder: Path) -> AsyncIterator[Service]:
    """A service whose module has this text. It has no database."""
    (folder / "text_service.py").write_text(text)
    arguments = ("--port", "0", "--database", "http://127.0.0.1:1/absent")
    async with running("text_service", *arguments, folder=folder) as service:
        yield service


HANGING = """
import time
from tor_async_service import Option, run

def hang(*_, **__):
    print("starting", flush=True)
    time.sleep(60)

"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "mainline",
    [
        'run(hang, "x")',
        'run(None, "x", Option("size", "N", "x", variable="HOME", read=hang))',
    ],
)
async def test_service_that_is_stopped_during_start_up_ends_with_status_0(
    tmp_path: Path, number: signal.Signals, mainline: str
) -> None:
    async with running_text(HANGING + mainline, tmp_path) as service:
        await service.says("starting")
        service.process.send_signal(number)
        assert await service.status() == 0
    assert service.log == ["starting"]


BIG = """
from tor_async_service import ServiceApplication, ServiceHandler, run

class BigHandler(ServiceHandler):
    async def get(self):
        self.write_json("x" * 20_000_000)

def make_app(database, parts):
    return ServiceApplication([("/big", BigHandler)], database, version="1", parts=parts)

run(make_app, "x")
"""

GET_BIG = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"
GET_NOOP = b"GET /_noop HTTP/1.1\r\nHost: a\r\n\r\n"


async def connected_to(service: Service) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = yarl.URL(await service.url())
    return await asyncio.open_connection(url.host, url.port)


async def begin_to_read(reader: asyncio.StreamReader) -> bytes:
    """The header of an answer whose body is too large for all the buffers on its way."""
    return await reader.readuntil(b"\r\n\r\n")


async def test_answer_that_a_slow_client_has_not_read_yet_is_not_cut_off(tmp_path: Path) -> None:
    async with running_text(BIG, tmp_path) as service:
        reader, writer = await connected_to(service)
        writer.write(GET_BIG)
        await begin_to_read(reader)
        service.process.terminate()
        await service.says("Shutting down ...")
        async with asyncio.timeout(TIMEOUT_S):
            assert len(await reader.read()) == 20_000_003
        writer.close()
        assert await service.status() == 0
    assert not [line for line in service.log if "in flight" in line]


@pytest.mark.parametrize("is_sent_later", [False, True])
async def test_request_behind_an_answer_is_answered_or_never_accepted(
    tmp_path: Path, is_sent_later: bool
) -> None:
    async with running_text(BIG, tmp_path) as service:
        reader, writer = await connected_to(service)
        writer.write(GET_BIG if is_sent_later else GET_BIG + GET_NOOP * 3)
        await begin_to_read(reader)
        service.process.terminate()
        await service.says("Shutting down ...")
        if is_sent_later:
            writer.write(GET_NOOP * 10_000)  # too much for the service to have read it when it closes
        async with asyncio.timeout(TIMEOUT_S):
            answers = await reader.read()
        writer.close()
        assert await service.status() == 0
    assert len(answers) == 20_000_003
    assert not [line for line in service.log if "/_noop" in line]


FAILING = """
from tor_async_service import ServiceApplication, run

async def work():
    {statement}

def make_app(database, parts):
    return ServiceApplication([], database, version="1", background_work=[work], parts=parts)

run(make_app, "x")
"""


@pytest.mark.parametrize(
    ("statement", "how", "last_line"),
    [
        ('raise RuntimeError("broken")', "failed: RuntimeError('broken')", "RuntimeError: broken"),
        ('{}["a"]', "failed: KeyError('a')", "KeyError: 'a'"),
        ("return", "returned", "tor_async_service.app.background.BackgroundWorkError: work returned"),
    ],
)
async def test_service_whose_background_work_ends_says_why_and_ends(
    tmp_path: Path, statement: str, how: str, last_line: str
) -> None:
    async with running_text(FAILING.replace("{statement}", statement), tmp_path) as service:
        assert await service.status() == 1
    assert [line for line in service.log if f"the service ends, as its background work work {how}" in line]
    assert service.log[-1] == last_line


async def test_service_logs_in_by_the_secrets_of_files_and_takes_new_ones_without_a_restart(
    couchdb: CouchDBServer, proxy: FaultProxy, documents: Documents, tmp_path: Path
) -> None:
    documents.put_thing("a")
    user, password = tmp_path / "user", tmp_path / "password"
    user.write_text(f"{couchdb.username}\n")
    password.write_text("wrong\n")
    variables = {"COUCHDB_USER_FILE": str(user), "COUCHDB_PASSWORD_FILE": str(password)}
    arguments = ("--port", "0", "--database", proxy.url, "--couchdb-auth", "session")
    async with running(SERVICE, *arguments, environment=variables) as service:
        url = await service.url()
        async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as client:
            async with client.get("/things/a") as response:
                problem = await problem_of(response, 503)
            assert problem["detail"] == "The database refuses the service's credentials."
            password.write_text(f"{couchdb.password}\n")
            async with client.get("/things/a") as response:
                assert response.status == 200
    assert not any("Authorization" in request.incoming.headers for request in proxy.requests)

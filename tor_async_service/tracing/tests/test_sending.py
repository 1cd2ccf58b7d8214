"""Spans that a service sends to a receiver, as processes of their own do."""

import asyncio
import sys
from collections.abc import Iterator

import aiohttp
import pytest

from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.tests.otlp_receiver import OTLPReceiver
from tor_async_service.tests.processes import TIMEOUT_S, running

_SERVICE = "tor_async_service.tests.thing_service"
_ARGUMENTS = ("--port", "0", "--database", "http://127.0.0.1:1/absent", "--tracing")


@pytest.fixture
def receiver() -> Iterator[OTLPReceiver]:
    with OTLPReceiver() as receiver:
        yield receiver


async def answer_and_end(endpoint: str, **more: str) -> list[str]:
    """The log of a service that answered a request and was ended; fails unless it ended with status 0."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": "things"} | more
    async with running(_SERVICE, *_ARGUMENTS, environment=environment) as service:
        url = await service.url()
        async with aiohttp.ClientSession() as client, client.get(f"{url}/_noop") as response:
            assert response.status == 200
        service.process.terminate()
        assert await service.status() == 0
    return service.log


async def test_service_that_ends_has_sent_its_spans(receiver: OTLPReceiver) -> None:
    await answer_and_end(receiver.url)
    (server,) = (span for span in receiver.spans() if span.name == "GET /_noop")
    attributes = {attribute.key: attribute.value for attribute in server.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["http.route"].string_value == "/_noop"
    resource = {each.key: each.value for each in next(receiver.resources()).resource.attributes}
    assert resource["service.name"].string_value == "things"


async def test_spans_leave_while_the_service_runs(receiver: OTLPReceiver) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    async with running(_SERVICE, *_ARGUMENTS, environment=environment) as service:
        url = await service.url()
        async with aiohttp.ClientSession() as client, client.get(f"{url}/_noop"):
            pass
        await wait_until(lambda: any(span.name == "GET /_noop" for span in receiver.spans()), TIMEOUT_S)


async def test_sampler_is_that_of_the_environment(receiver: OTLPReceiver) -> None:
    await answer_and_end(receiver.url, OTEL_TRACES_SAMPLER="always_off")
    assert receiver.spans() == []


async def test_receiver_that_hangs_delays_neither_answers_nor_the_end() -> None:
    with OTLPReceiver(hangs=True) as receiver:
        await answer_and_end(receiver.url, OTEL_BSP_SCHEDULE_DELAY="1", OTEL_EXPORTER_OTLP_TIMEOUT="600")
        assert receiver.asked.is_set()  # and it has not answered yet


async def test_service_ends_although_the_receiver_is_away() -> None:
    log = await answer_and_end("http://127.0.0.1:1")
    assert any("200 GET /_noop" in line for line in log)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; traces can only"),
        ("OTEL_PROPAGATORS", "pigeon", "Propagator pigeon not found"),
    ],
)
async def test_wrong_variable_is_an_error_in_one_line(name: str, value: str, complaint: str) -> None:
    async with running(_SERVICE, *_ARGUMENTS, environment={name: value}) as service:
        assert await service.status() == 2
    assert f"error: argument --tracing: {complaint}" in service.log[-1]


async def test_service_without_tracing_imports_nothing_for_it() -> None:
    assert await _run_python(f"import {_SERVICE}, sys; print('opentelemetry' in sys.modules)") == "False"


async def test_tracing_without_the_extra_is_an_error_in_one_line() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; "
    program += f"from {_SERVICE} import make_app, run; sys.argv[1:] = ['--tracing']; run(make_app, 'x')"
    told = await _run_python(program)
    assert "error: argument --tracing: the extra otel is not installed: " in told.splitlines()[-1]


async def _run_python(program: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(TIMEOUT_S):
        output, _ = await process.communicate()
    return output.decode().strip()

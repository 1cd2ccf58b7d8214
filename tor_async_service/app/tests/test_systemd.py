import asyncio
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tor_async_service.app.systemd import READY, STOPPING, notify
from tor_async_service.tests.processes import TIMEOUT_S, running

SERVICE = "tor_async_service.tests.thing_service"


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with (
        tempfile.TemporaryDirectory() as folder,  # tmp_path may be longer than the address of a socket
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        if request.param == "path":
            address = str(Path(folder) / "notify")
            listener.bind(address)
        else:
            address = f"@{Path(folder).name}"
            listener.bind(f"\0{address[1:]}")
        listener.settimeout(TIMEOUT_S)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield listener


async def test_service_reports_when_it_listens_and_when_it_begins_to_stop(manager: socket.socket) -> None:
    arguments = ("--port", "0", "--database", "http://127.0.0.1:1/absent")
    async with running(SERVICE, *arguments) as service:
        assert await asyncio.to_thread(manager.recv, 100) == READY.encode()
        url = await service.url()  # the log may take longer
        assert url
        service.process.terminate()
        assert await asyncio.to_thread(manager.recv, 100) == STOPPING.encode()
        assert await service.status() == 0


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "@nobody", "x" * 200])
def test_manager_that_does_not_listen_is_no_error(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify(READY)

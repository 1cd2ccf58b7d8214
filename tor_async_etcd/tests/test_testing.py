from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tor_async_etcd import Client
from tor_async_etcd.testing import EtcdServer, find_etcd
from tor_async_etcd.tests.waiting import until


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_etcd_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    program = (
        "from tor_async_etcd.testing import EtcdServer\n"
        "with EtcdServer() as etcd:\n"
        "    print(etcd.pid, flush=True)\n"
        "    input()\n"
    )
    command = [sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # it leaves its data behind
    with subprocess.Popen(  # noqa: ASYNC220, S603 - a process of this test
        command,
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert is_running(pid)
        process.send_signal(signal.SIGKILL)

    async def is_gone() -> bool:
        return not is_running(pid)

    await until(is_gone)


async def test_etcd_keeps_its_data_over_a_stop_and_a_kill() -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client:
            await client.set(b"a", b"1")
            for end in (server.stop, server.kill):
                end()
                assert not is_running(server.pid)
                server.start()
                server.wait_until_ready()
                assert (await client.get(b"a")).kvs[0].value == b"1"


def test_etcd_that_does_not_start_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"did not start: .*nonsense"), EtcdServer("--nonsense"):
        pass


def test_binary_of_the_environment_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_BINARY", "/somewhere/etcd")
    assert find_etcd() == "/somewhere/etcd"


def test_importing_the_package_needs_nothing_compiled() -> None:
    """What it imports beside the standard library is only itself."""
    program = (
        "import sys, asyncio, json; before = set(sys.modules); import tor_async_etcd, tor_async_etcd.pmap\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - sys.stdlib_module_names))"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", program], cwd=root, check=True, capture_output=True, text=True
    )
    assert found.stdout == "tor_async_etcd\n"

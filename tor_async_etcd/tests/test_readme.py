"""The five-minute start of the README, run as it stands."""

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tor_async_etcd.testing import EtcdServer

_README = Path(__file__).parents[1] / "README.md"


async def test_five_minute_start_does_what_it_says(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _README.read_text()
    begin = text.index("    from tor_async_etcd import Client")
    program = textwrap.dedent(text[begin : text.index("### Typed maps")])
    program = program.replace("http://127.0.0.1:2379", etcd.url)
    code = compile(program, str(_README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, object] = {}
    running = eval(code, names)  # noqa: S307 - the README's own program, as `python -m asyncio` runs it
    assert inspect.isawaitable(running)
    async with asyncio.timeout(20):
        await running
    assert names["found"].kvs[0].value == b"green"  # type: ignore[attr-defined]
    assert "PUT b'fruits/apple' b'red'" in capsys.readouterr().out

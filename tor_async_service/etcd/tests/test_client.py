import re
import subprocess
import sys

import pytest

from tor_async_etcd import TransportError
from tor_async_service.app.options import parse
from tor_async_service.etcd.client import ETCD, etcd_client


async def test_members_are_separated_by_commas_and_a_password_is_not_in_their_urls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with etcd_client("http://root:s3cr%40t@127.0.0.1:1,http://127.0.0.1:2") as client:
        with pytest.raises(TransportError) as caught:
            await client.status(timeout_s=0.2)
    assert re.search(r"http://127\.0\.0\.1:[12]\D", caplog.text)
    assert "s3cr" not in f"{caught.value} {caplog.text}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("etcd", "'etcd' is not a URL like http://127.0.0.1:2379"),
        ("http://root@127.0.0.1:2379", "etcd's user needs a password"),
        ("ftp://root:s3cret@127.0.0.1", "'ftp://127.0.0.1' is not a URL like"),
    ],
)
def test_invalid_url_of_etcd_is_one_line_and_status_2(
    text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("x", ["--etcd", text], {}, own_options=(ETCD,))
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_service_without_etcd_does_not_import_its_client() -> None:
    program = (
        "import sys; import tor_async_service.couchdb.reconciling;"
        "print([name for name in sys.modules if name.startswith('tor_async_etcd')])"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, check=True, timeout=60).stdout == b"[]\n"  # noqa: S603

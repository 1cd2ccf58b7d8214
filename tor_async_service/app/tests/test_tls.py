import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tornado.netutil
import yarl

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.app import options, tls
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.server import serve
from tor_async_service.app.shutdown import Shutdown, ShutdownTimes
from tor_async_service.app.tls import Certificate, CertificateError
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.tests import certificates
from tor_async_service.tests.processes import TIMEOUT_S, running

TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_S)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return certificates.made_in(tmp_path)


async def test_service_is_asked_by_https_and_by_nothing_else(certificate: Certificate) -> None:
    database = ("--port", "0", "--database", "http://127.0.0.1:1/absent")
    files = ("--tls-cert", str(certificate.chain), "--tls-key", str(certificate.key))
    async with running("tor_async_service.tests.thing_service", *database, *files) as service:
        url = yarl.URL(await service.url())
        assert url.scheme == "https"
        async with aiohttp.ClientSession(timeout=TIMEOUT) as client:
            async with client.get(url / "_noop", ssl=certificates.trusting(certificate)) as response:
                assert response.status == 200
                assert await response.json() == {"links": {"self": {"href": f"{url}/_noop"}}}
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await client.get(url / "_noop")
            with pytest.raises(aiohttp.ClientError):
                await client.get(url.with_scheme("http") / "_noop")
            certificates.made_in(certificate.chain.parent)
            await service.says("using the certificate that is now in")
            async with client.get(url / "livez", ssl=certificates.trusting(certificate)) as response:
                assert response.status == 200
        service.process.terminate()
        assert await service.status() == 0
    assert not [line for line in service.log if "Traceback" in line]


class BigHandler(ServiceHandler):
    """Answers with more than fits into the buffers between the service and a client."""

    async def get(self) -> None:
        self.write_json("x" * 20_000_000)


async def test_answer_by_tls_that_a_slow_client_has_not_read_yet_is_not_cut_off(
    absent_database: Database, certificate: Certificate
) -> None:
    app = ServiceApplication([("/big", BigHandler)], absent_database, version="1")
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = serve(app, sockets, certificate.context())
    port = sockets[0].getsockname()[1]
    context = certificates.trusting(certificate)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    header = await reader.readuntil(b"\r\n\r\n")
    assert b"200 OK" in header
    ending = asyncio.create_task(Shutdown(app.service.drain, ShutdownTimes()).run(server))
    async with asyncio.timeout(TIMEOUT_S):
        assert len(await reader.read()) == 20_000_003
        writer.close()
        await ending


@pytest.fixture
def other(tmp_path: Path) -> Certificate:
    folder = tmp_path / "other"
    folder.mkdir()
    return certificates.made_in(folder)


def test_key_of_another_certificate_is_refused(certificate: Certificate, other: Certificate) -> None:
    with pytest.raises(
        CertificateError, match=r"key.pem: this is not the private key of the certificate in "
    ):
        Certificate(certificate.chain, other.key).context()


def test_file_that_is_missing_is_named(certificate: Certificate) -> None:
    absent = certificate.chain.with_name("absent.pem")
    for files in (Certificate(absent, certificate.key), Certificate(certificate.chain, absent)):
        with pytest.raises(CertificateError, match=r"/absent.pem: No such file or directory"):
            files.context()


def test_file_that_is_a_folder_or_may_not_be_read_is_named(certificate: Certificate, tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=re.escape(f"{tmp_path}: Is a directory")):
        Certificate(tmp_path, certificate.key).context()
    certificate.key.chmod(0)
    if os.access(certificate.key, os.R_OK):
        pytest.skip("root may read every file")
    with pytest.raises(CertificateError, match=r"key.pem: Permission denied"):
        certificate.context()


@pytest.mark.parametrize(
    "content", ["", "red", "-----BEGIN CERTIFICATE-----\nred\n-----END CERTIFICATE-----\n"]
)
def test_file_without_certificate_or_key_is_named(certificate: Certificate, content: str) -> None:
    certificate.key.write_text(content)
    with pytest.raises(CertificateError, match=r"key.pem: there is no private key in PEM format"):
        certificate.context()
    certificate.chain.write_text(content)
    with pytest.raises(CertificateError, match=r"cert.pem: there is no certificate in PEM format"):
        certificate.context()


def test_password_of_a_key_is_not_asked_for(certificate: Certificate) -> None:
    certificates.protect(certificate.key, "s3cr3t")
    with pytest.raises(CertificateError, match=r"key.pem: the private key is protected by a password"):
        certificate.context()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tls-cert", "/absent/cert.pem"], "argument --tls-cert: needs --tls-key too"),
        (["--tls-key", "/absent/key.pem"], "argument --tls-key: needs --tls-cert too"),
        (
            ["--tls-cert", "/absent/cert.pem", "--tls-key", "/absent/key.pem"],
            "arguments --tls-cert and --tls-key: /absent/cert.pem: No such file or directory",
        ),
    ],
)
def test_wrong_option_is_one_line_and_status_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        options.parse("x", arguments, {})
    assert words in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
async def used(certificate: Certificate) -> AsyncIterator[list[ssl.SSLContext]]:
    """The contexts that were taken into use since the files were looked at first."""
    contexts: list[ssl.SSLContext] = []
    renewing = asyncio.create_task(tls.renew(certificate, contexts.append, period_s=0.001))
    await asyncio.sleep(0)
    yield contexts
    renewing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await renewing


async def test_renewed_certificate_is_used(certificate: Certificate, used: list[ssl.SSLContext]) -> None:
    certificates.made_in(certificate.chain.parent)
    await wait_until(lambda: bool(used))


async def test_unusable_certificate_is_a_warning_and_is_used_once_it_is_repaired(
    certificate: Certificate, used: list[ssl.SSLContext], caplog: pytest.LogCaptureFixture
) -> None:
    content = certificate.key.read_text()
    certificate.key.unlink()
    await wait_until(lambda: "the certificate before stays in use: " in caplog.text)
    assert not used
    certificate.key.write_text(content)
    await wait_until(lambda: bool(used))
    assert caplog.text.count("stays in use") == 1

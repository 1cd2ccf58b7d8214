import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.errors import TransportError
from tor_async_couchdb.installer.admin import AdminClient


class _Welcome(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"couchdb": "Welcome"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: clients that don't trust the certificate break the connection."""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two private authorities, and a certificate of 127.0.0.1 that `authority.pem` signed."""
    if shutil.which("openssl") is None:
        pytest.skip("the certificates are made with the command openssl")
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    new_key = "req -newkey rsa:2048 -nodes -subj /CN="
    for command in (
        f"{new_key}authority -x509 -keyout authority.key -out authority.pem",
        f"{new_key}stranger -x509 -keyout stranger.key -out stranger.pem",
        f"{new_key}host -keyout host.key -out host.csr",
        "x509 -req -in host.csr -CA authority.pem -CAkey authority.key -CAcreateserial -extfile names"
        " -out host.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607
    return folder


@pytest.fixture
def port(certificates: Path) -> Iterator[int]:
    """The port of a server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "host.pem", certificates / "host.key")
    with _Server(("127.0.0.1", 0), _Welcome) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def _check(url: str, *, verify_host_ssl_cert: bool = True) -> None:
    with AdminClient(url, verify_host_ssl_cert=verify_host_ssl_cert) as server:
        server.check()


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_private_authority_of_ssl_cert_file_is_trusted(
    certificates: Path, port: int, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "authority.pem"))
    _check(f"{scheme}://127.0.0.1:{port}")


def test_private_authority_of_ssl_cert_dir_is_trusted(
    certificates: Path, port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copy(certificates / "authority.pem", tmp_path)
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)  # noqa: S603, S607
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    _check(f"https://127.0.0.1:{port}")


@pytest.mark.parametrize("trusted", [None, "stranger.pem", "missing.pem"])
def test_other_authority_is_not_trusted(
    certificates: Path, port: int, monkeypatch: pytest.MonkeyPatch, trusted: str | None
) -> None:
    if trusted is None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / trusted))
    with pytest.raises(TransportError, match="certificate is not trusted"):
        _check(f"https://127.0.0.1:{port}")


def test_certificate_of_another_host_is_not_trusted(
    certificates: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "authority.pem"))
    with pytest.raises(TransportError, match="certificate is not trusted"):
        _check(f"https://localhost:{port}")


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_certificate_is_not_verified_if_the_client_says_so(port: int) -> None:
    _check(f"https://127.0.0.1:{port}", verify_host_ssl_cert=False)

"""The certificate of a service that is asked by HTTPS, and its renewal without a restart."""

import asyncio
import dataclasses
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

# Certificates are renewed days before they expire, so any small number will do.
_CHECK_PERIOD_S = 1.0

_logger = logging.getLogger(__name__)


class CertificateError(ValueError):
    """The files can't be used; the text names the file and says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Certificate:
    """A chain of certificates and its private key, both in PEM files."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """A server's context with what is in the files now.

        Raises:
            CertificateError: a file is missing, unreadable, encrypted, or does not belong to the other one.
        """
        for file in (self.chain, self.key):
            _check_is_readable(file)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.chain, self.key, password=self._refuse_password)
        except ssl.SSLError as error:
            raise CertificateError(self._reason(error)) from error
        except OSError as error:  # a file was taken away in this moment
            raise CertificateError(f"{self.chain} or {self.key}: {error.strerror}") from error
        return context

    def _refuse_password(self) -> str:
        # Without this OpenSSL would ask for the password at the terminal, and the service would wait.
        raise CertificateError(f"{self.key}: the private key is protected by a password; remove it")

    def _reason(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{self.key}: this is not the private key of the certificate in {self.chain}"
        try:
            ssl.create_default_context().load_verify_locations(self.chain)
        except ssl.SSLError:
            return f"{self.chain}: there is no certificate in PEM format"
        return f"{self.key}: there is no private key in PEM format"

    def state(self) -> tuple[object, ...]:
        """What changes when a file is replaced or written."""
        return tuple(_state(file) for file in (self.chain, self.key))


def _check_is_readable(file: Path) -> None:
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise CertificateError(f"{file}: {error.strerror}") from error


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


async def renew(
    certificate: Certificate, use: Callable[[ssl.SSLContext], None], *, period_s: float = _CHECK_PERIOD_S
) -> None:
    """Uses the files again whenever they have changed, which it looks for every `period_s` seconds.

    Files that can't be used are a warning, and the certificate before them stays in use.
    """
    state = certificate.state()
    while True:
        await asyncio.sleep(period_s)
        if certificate.state() == state:
            continue
        state = certificate.state()
        try:
            use(certificate.context())
        except CertificateError as error:
            _logger.warning("the certificate before stays in use: %s", error)
        else:
            _logger.info("using the certificate that is now in %s", certificate.chain)

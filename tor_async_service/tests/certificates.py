"""Certificates for 127.0.0.1, made by openssl."""

import ssl
import subprocess
from pathlib import Path

from tor_async_service.app.tls import Certificate

_TIMEOUT_S = 30


def made_in(folder: Path, name: str = "localhost") -> Certificate:
    """A new certificate that signs itself, and its key; files of before are replaced."""
    certificate = Certificate(folder / "cert.pem", folder / "key.pem")
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-out", str(certificate.chain), "-keyout", str(certificate.key)),
    )
    return certificate


def protect(key: Path, password: str) -> None:
    """Encrypts a private key with a password."""
    protected = key.with_suffix(".protected")
    _openssl("pkcs8", "-topk8", "-in", str(key), "-out", str(protected), "-passout", f"pass:{password}")
    protected.replace(key)


def trusting(certificate: Certificate) -> ssl.SSLContext:
    """What a client needs that trusts this certificate and no other."""
    return ssl.create_default_context(cafile=certificate.chain)


def _openssl(*arguments: str) -> None:
    subprocess.run(  # noqa: S603 - the arguments are the tests' own, no shell
        ["/usr/bin/env", "openssl", *arguments], check=True, capture_output=True, timeout=_TIMEOUT_S
    )

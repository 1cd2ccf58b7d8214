"""Placeholder until the installer's branch brings it."""

from typing import Any, Protocol

SIGNATURE_PROPERTY_NAME = "801dbe4659a641739cbe94fcf0baab03_tampering_v1.0_sig"


class Signer(Protocol):
    def x(self) -> str: ...


def sign(signer: Signer, doc: dict[str, Any]) -> dict[str, Any]:
    return doc


def verify(signer: Signer, doc: dict[str, Any]) -> bool:
    return True

"""Transports that count requests, or let a client be cut off."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Mapping

from tor_async_etcd.errors import TransportError
from tor_async_etcd.wire.connection import Reply
from tor_async_etcd.wire.transport import HttpTransport


class WatchedTransport(HttpTransport):
    """Counts the answers by path; once it is cut off, no request gets one."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(url, tls)
        self.answers: Counter[str] = Counter()
        self.is_cut_off = False

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        """Return the answer."""
        if self.is_cut_off:
            raise TransportError("cut off")
        reply = await super().post(path, headers, body, timeout_s)
        self.answers[path] += 1
        return reply
